"""What visitors and editors read: in the language of who reads it, whoever made it and when."""

from __future__ import annotations

import re
from decimal import Decimal

from django.utils.formats import localize
from django.utils.translation import gettext, gettext_noop, override

__all__ = ["in_english", "tell", "tell_cap", "write_number"]

_KNOWN = (
    gettext_noop("The file is missing: %(file)s"),
    gettext_noop("This file is too large: at most %(size)s."),
)
"""Sentences of the ledger that name something."""


def write_number(number: float, form: str) -> str:
    """The number as a format such as ".3g" rounds it and as the active language writes it."""
    return localize(Decimal(format(number, form)))


def tell_cap(max_bytes: int) -> str:
    """The sentence about a file that has more bytes."""
    size = gettext("%(number)s MB") % {"number": write_number(max_bytes / 2**20, ".3g")}
    return gettext("This file is too large: at most %(size)s.") % {"size": size}


def in_english(error: Exception) -> str:
    """An error's text for logs, the ledger and other machines: the same in every process."""
    with override(None):
        return str(error)


def tell(error: str) -> str:
    """A text of the ledger in the language that is active; as it is where we did not write it."""
    for template in _KNOWN:
        pattern = re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+)", re.escape(template))
        if found := re.fullmatch(pattern, error):
            return gettext(template) % found.groupdict()
    return gettext(error)
