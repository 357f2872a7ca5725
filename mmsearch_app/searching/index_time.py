"""How long a visitor waits for the index, and when visitors no longer do."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.core.signals import setting_changed
from django.utils.translation import gettext

from mmsearch_app.conf import get_settings
from mmsearch_app.indexes import IndexUnavailable
from mmsearch_app.inference import Circuit, last_moment, until
from mmsearch_app.searching.query import SearchUnavailable

_PAUSE = 5.0
"""Seconds for which nobody waits for an index that hangs, before one search tries it again."""
_circuit = Circuit(most_failures=1, pause=_PAUSE)


@dataclass(slots=True, kw_only=True)
class _Time:
    """What one search may still wait for the index, and what it found out about it."""

    left: float
    """Seconds."""
    answers: bool = False
    hangs: bool = False


_time: ContextVar[_Time | None] = ContextVar("mmsearch_index_time", default=None)


@contextmanager
def index_time() -> Iterator[None]:
    """Let all calls of the index in this block, those of one search, share `INDEX_SECONDS`.

    Once a search has waited in vain, others are refused at once, but for one that tries the index
    every few seconds, until one is answered. Raises SearchUnavailable.
    """
    time_of_search = _Time(left=get_settings().INDEX_SECONDS)
    if not _circuit.begin(time_of_search):
        raise unavailable(retry_after=math.ceil(_circuit.seconds_left))
    token = _time.set(time_of_search)
    try:
        yield
    finally:
        _time.reset(token)
        if time_of_search.hangs or time_of_search.answers:
            _circuit.count(time_of_search, failed=time_of_search.hangs)
        else:
            _circuit.forget(time_of_search)


@contextmanager
def asking_index() -> Iterator[None]:
    """Call the index in this block, and do nothing else there, since it shall take no longer.

    A call that fails after half of a search's time shows that the index hangs; a failure at once
    costs nobody time. Outside of `index_time` the index takes as long as it likes.
    """
    found = _time.get()
    if found is None:
        yield
        return
    begun = time.monotonic()
    try:
        with until(min(last_moment(), begun + found.left)):
            yield
    except IndexUnavailable:
        found.hangs = time.monotonic() - begun > get_settings().INDEX_SECONDS / 2
        raise
    else:
        found.answers = True
    finally:
        found.left -= time.monotonic() - begun


def unavailable(*, retry_after: int | None = None) -> SearchUnavailable:
    """Return the error for the visitor."""
    seconds = None if retry_after is None else max(1, retry_after)
    msg = gettext("The search is not available at the moment.")
    return SearchUnavailable(msg, retry_after=seconds)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "MMSEARCH":
        _circuit.reset()


setting_changed.connect(_forget, dispatch_uid="mmsearch_app.searching.index_time")
