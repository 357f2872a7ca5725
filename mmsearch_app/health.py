"""Find out whether a search would work now, for load balancers and monitors."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Any, Literal

from django.db import DatabaseError

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexing import ledger, stamps
from mmsearch_app.warming import model_state

__all__ = ["Health", "examine"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """State of the search. Contains no secrets: causes go to the log."""

    index: Literal["live", "not built", "unreachable"]
    model: Literal["matches", "differs", "loading", "unavailable", "unknown"]
    """Whether the live index was built by the configured embedder."""
    waiting: int | None
    """Images that wait to be indexed, or None if the database cannot be read."""
    indexing: Literal["ok", "healing", "refused", "unknown"] = "unknown"
    """Whether changes reach the index: "healing" while an index that was lost or restored is
    filled again, "refused" if another database fills it."""

    @property
    def ok(self) -> bool:
        """Whether searches are answered. A backlog does not matter."""
        return self.index == "live" and self.model == "matches" and self.waiting is not None

    def document(self) -> dict[str, Any]:
        """Return the state as values for JSON."""
        return {"status": "ok" if self.ok else "degraded", **asdict(self)}


def examine() -> Health:
    """Look at index, embedder and ledger; never raises."""
    try:
        live = get_index().live()
    except Exception:
        log.exception("The search index cannot be reached")
        return _health("unreachable", "unknown")
    if live is None:
        return _health("not built", "unknown")
    return _health("live", _compare(live.fingerprint))


def _health(
    index: Literal["live", "not built", "unreachable"],
    model: Literal["matches", "differs", "loading", "unavailable", "unknown"],
) -> Health:
    waiting = _count_waiting()
    return Health(index=index, model=model, waiting=waiting, indexing=_look_at_indexing(waiting))


def _look_at_indexing(waiting: int | None) -> Literal["ok", "healing", "refused", "unknown"]:
    if waiting is None:
        return "unknown"
    known = stamps.find_known()
    if known is None:
        return "ok"
    if known.problem:
        return "refused"
    return "healing" if waiting and known.is_healing else "ok"


def _compare(fingerprint: str) -> Literal["matches", "differs", "loading", "unavailable"]:
    state = model_state("embedder").state
    if state in ("loading", "failed"):
        return "loading" if state == "loading" else "unavailable"
    try:
        return "matches" if get_embedder().fingerprint == fingerprint else "differs"
    except Exception:
        log.exception("The embedder cannot be built")
        return "unavailable"


def _count_waiting() -> int | None:
    try:
        return ledger.waiting().count()
    except DatabaseError:
        log.exception("The ledger cannot be read")
        return None
