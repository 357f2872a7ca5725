"""Below which score a question has no good match."""

from __future__ import annotations

import time
from typing import Literal, TypeAlias

from django.core.signals import setting_changed

from mmsearch_app.conf import get_settings
from mmsearch_app.indexes import Generation
from mmsearch_app.models import ScoreFloor
from mmsearch_app.searching.query import Query

_SECONDS = 60.0
"""How long what was measured is kept in this process."""
_known: dict[str, tuple[float, ScoreFloor | None]] = {}
"""By generation: until when it is kept, and what was measured, if anything."""

Asking: TypeAlias = Literal["words", "picture", "composed"]


def kind_of(query: Query) -> Asking:
    """Return what the query asks with."""
    if query.image is None and query.like is None:
        return "words"
    return "composed" if query.text else "picture"


def floor_of(query: Query, generation: Generation) -> float:
    """Return the cosine below which even the best hit is no good match for such a query.

    That is MIN_SCORE or, if it is None, what nonsense of the same kind reaches in this
    generation; -1 if that was not measured, or if unwanted words shift the scores.
    """
    fixed = get_settings().MIN_SCORE
    if fixed is not None:
        return fixed
    measured = None if query.without else _read(generation.name)
    return -1.0 if measured is None else float(getattr(measured, kind_of(query)))


def _read(generation: str) -> ScoreFloor | None:
    until, found = _known.get(generation, (0.0, None))
    now = time.monotonic()
    if now >= until:
        found = ScoreFloor.objects.filter(generation=generation).first()
        _known.clear()  # of other generations, too: there are few, and old ones do not return
        _known[generation] = now + _SECONDS, found
    return found


def _forget(*, setting: str, **_: object) -> None:
    if setting == "MMSEARCH":
        _known.clear()


setting_changed.connect(_forget, dispatch_uid="mmsearch_app.searching.floor")
