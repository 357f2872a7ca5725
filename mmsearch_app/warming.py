"""Load the models in the background as soon as a process serves the shop."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from django.core.signals import request_started, setting_changed

from mmsearch_app.backends import get_index, loadable
from mmsearch_app.conf import get_settings, is_under_test
from mmsearch_app.inference import renew_after_fork

__all__ = ["ModelState", "loaded", "model_state", "start_where_served", "warm_up"]

log = logging.getLogger(__name__)
_SERVERS = ("django.core.wsgi", "django.core.asgi")
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
"""Seconds until a model that could not be loaded is tried again; doubled after each failure."""
_LOADING_SECONDS = 5
"""When a visitor should try again while a model is being loaded."""

Name: TypeAlias = Literal["embedder", "reranker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """Whether a model can be asked."""

    state: Literal["unknown", "loading", "ready", "failed"] = "unknown"
    """"unknown" if nothing is loaded in the background here: the first call loads the model."""
    due: float = 0.0
    """When a model that failed is tried again, a time of `time.monotonic`."""

    @property
    def retry_after(self) -> int:
        """Whole seconds after which it is worth asking; 0 if the model can be asked now."""
        if self.state == "loading":
            return _LOADING_SECONDS
        if self.state == "failed":
            return max(0, math.ceil(self.due - time.monotonic())) + _LOADING_SECONDS
        return 0


@dataclass(eq=False, slots=True, kw_only=True)
class _Warming:
    """What this process has loaded so far."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    started: bool = False
    states: dict[str, ModelState] = field(default_factory=dict)


_warming = _Warming()
_starts_in_child = False
"""Whether this process only forks the ones that serve."""


def model_state(name: Name) -> ModelState:
    """Return the state of the embedder or the reranker in this process; waits for nothing."""
    return _warming.states.get(name, ModelState())


def loaded(name: Name) -> None:
    """Record that a model has just answered, so that nobody is sent away any more."""
    if model_state(name).state != "ready":
        _warming.states[name] = ModelState(state="ready")


def start_where_served() -> None:
    """Load the models in a thread if this process serves: now, or with its first request.

    Now, if Django is being set up for a WSGI or ASGI server; in a server's parent process only
    after the fork. A command loads nothing, and neither does a test.
    """
    global _starts_in_child
    request_started.connect(_on_request, dispatch_uid="mmsearch_app.warming")
    callers = set(_callers())
    if callers.isdisjoint(_SERVERS):
        return
    if _is_parent(callers):
        _starts_in_child = True
    else:
        start_warm_up()


def start_warm_up(*, delay: float = 0.0) -> None:
    """Load the models in a thread of this process, once, unless WARM_UP is off."""
    warming = _warming
    if warming.started or not get_settings().WARM_UP or is_under_test():
        return
    with warming.lock:
        if warming.started:
            return
        warming.started = True
        for name, part in _missing(warming):
            state = ModelState(state="loading" if hasattr(part, "warm_up") else "ready")
            warming.states.setdefault(name, state)
    thread = threading.Thread(
        target=_keep_trying, args=(warming, delay), name="mmsearch-warm-up", daemon=True
    )
    thread.start()


def warm_up() -> None:
    """Load embedder and reranker and reach the index, in this process.

    The same as what happens in the background where a process serves, but the caller waits: for
    a script, or the hook that a server calls in each worker process, such as gunicorn's
    `post_worker_init`; not before a fork, which neither models nor connections survive. If a part
    cannot be loaded, that is logged: the process serves all else.
    """
    for name, part in loadable():
        if _load(name, part):
            _warming.states[name] = ModelState(state="ready")
    _try("index", get_index().live)


def _keep_trying(warming: _Warming, delay: float) -> None:
    """Load each model, and try those that fail again after a pause that grows."""
    time.sleep(delay)
    waiting, pause = _missing(warming), _FIRST_PAUSE
    while warming is _warming:
        waiting = [(name, part) for name, part in waiting if not _is_loaded(warming, name, part)]
        if not waiting:
            break
        for name, _ in waiting:
            warming.states[name] = ModelState(state="failed", due=time.monotonic() + pause)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    _try("index", get_index().live)


def _missing(warming: _Warming) -> list[tuple[str, Any]]:
    """Return the models that are not loaded yet. One that cannot even be built is left to use."""
    try:
        parts = list(loadable())
    except Exception:  # a wrong setting: whoever searches is told
        log.exception("The models cannot be built")
        warming.states.clear()
        return []
    names = [name for name, _ in parts]
    for name in set(warming.states) - set(names):
        del warming.states[name]
    return parts


def _is_loaded(warming: _Warming, name: str, part: Any) -> bool:
    if warming.states.get(name, ModelState()).state != "ready" and not _load(name, part):
        return False
    warming.states[name] = ModelState(state="ready")
    return True


def _load(name: str, part: Any) -> bool:
    """Load a model; return whether that worked."""
    load = getattr(part, "warm_up", None)
    return load is None or _try(name, load)


def _try(name: str, step: Callable[[], object]) -> bool:
    try:
        step()
    except Exception:  # a shop's own part may raise anything
        log.exception("The %s cannot be warmed up", name)
        return False
    return True


def _callers() -> Iterator[str]:
    """Yield the modules of the functions that are running in this thread."""
    frame = sys._getframe()
    while frame is not None:
        yield str(frame.f_globals.get("__name__", ""))
        frame = frame.f_back  # type: ignore[assignment]


def _is_parent(callers: set[str]) -> bool:
    """Return whether the server loads the shop here only to fork the processes that serve it."""
    if "gunicorn.arbiter" in callers:  # with --preload
        return not any(name.startswith("gunicorn.workers.") for name in callers)
    uwsgi: Any = sys.modules.get("uwsgi")
    return uwsgi is not None and uwsgi.worker_id() == 0


def _on_request(**_: object) -> None:
    start_warm_up()


def _forget(*, setting: str, **_: object) -> None:
    """Let the models of the new setting be loaded when they are used."""
    global _warming
    if setting == "MMSEARCH":
        _warming = _Warming()


def _renew() -> None:
    """In a forked child: nothing is loaded; start if its parent was there only to fork it."""
    global _warming, _starts_in_child
    _warming = _Warming()
    if _starts_in_child:
        _starts_in_child = False
        start_warm_up(delay=0.2)  # other locks are renewed after this


setting_changed.connect(_forget, dispatch_uid="mmsearch_app.warming")
renew_after_fork(_renew)
