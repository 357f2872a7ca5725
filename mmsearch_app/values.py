"""What a value of the setting may be, where it is no part: a number, a choice, a rate."""

from __future__ import annotations

import math
import re

from django.core.exceptions import ImproperlyConfigured

__all__ = ["check_value"]

_BOUNDS = {
    "MAX_OFFSET": (0, math.inf),
    "RETRY_SECONDS": (0, math.inf),
    "RERANK_WEIGHT": (0, 1),
    "RERANK_QUEUE": (0, math.inf),
}
"""Of numbers; others are at least 1 where they are whole, and at least 0 where not."""
_CHOICES = {"RERANK_FUSION": ("ranks", "scores")}
_RATE = re.compile(r"[1-9][0-9]*/(s|m|h|d)[a-z]*")


def check_value(key: str, value: object, *, default: object) -> object:
    """The value, where it fits its key. Raises ImproperlyConfigured that says what would."""
    if key == "THROTTLE_RATE":
        valid = value is None or (isinstance(value, str) and bool(_RATE.fullmatch(value)))
    elif key in _CHOICES:
        valid = value in _CHOICES[key]
    elif isinstance(default, bool):
        valid = isinstance(value, bool)
    else:
        valid = _is_number(value, like=default)
        least, most = _BOUNDS.get(key, (0 if isinstance(default, float) else 1, math.inf))
        if valid and not least <= value <= most:  # type: ignore[operator]
            right = f"at least {least}" if math.isinf(most) else f"from {least} to {most}"
            msg = f"MMSEARCH[{key!r}] = {value!r} must be {right}."
            raise ImproperlyConfigured(msg)
    if not valid:
        msg = f"MMSEARCH[{key!r}] = {value!r} must be {_describe(key, default)}."
        raise ImproperlyConfigured(msg)
    return value


def _describe(key: str, default: object) -> str:
    """What would be right."""
    if key == "THROTTLE_RATE":
        return f"a rate such as {default!r}, or None"
    if key in _CHOICES:
        return " or ".join(map(repr, _CHOICES[key]))
    kinds: dict[type, str] = {bool: "True or False", int: "a whole number", float: "a number"}
    return f"{kinds[type(default)]}; its default is {default!r}"


def _is_number(value: object, *, like: object) -> bool:
    return isinstance(value, int | type(like)) and not isinstance(value, bool)
