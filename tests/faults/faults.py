"""The table of faults: each one a small function, and what must heal it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.faults.scene import FILES, HEALERS, SERVER, WORKER, Scene

Inject: TypeAlias = Callable[[Scene], Iterator[None] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong in a shop."""

    name: str
    group: str
    inject: Inject
    """Makes it happen. If it yields, the fault lasts until it is called again."""
    heals: str
    """Who heals it, in words for the table."""
    healer: Callable[[], Any]
    index: str
    storage: str
    statuses: frozenset[int]
    """What visitors may get meanwhile: 200; 503 while the index is unavailable; 0 and 500 while
    the shop's own database is."""
    may_be_empty: bool
    """Whether answers without products are right, since the index has lost them."""
    seconds: float
    """Within that time it must be healed; a busy machine is slow."""


FAULTS: list[Fault] = []
SERVED = frozenset([200])
UNAVAILABLE = frozenset([200, 503])
DATABASE_DOWN = frozenset([200, 500, 503, 0])


def fault(
    name: str,
    *,
    group: str,
    heals: str = WORKER,
    healer: Callable[[], Any] | None = None,
    index: str = SERVER,
    storage: str = FILES,
    statuses: frozenset[int] = SERVED,
    may_be_empty: bool = False,
    seconds: float = 60,
) -> Callable[[Inject], Inject]:
    """Add a function that injects a fault to the table."""

    def add(inject: Inject) -> Inject:
        FAULTS.append(
            Fault(
                name=name,
                group=group,
                inject=inject,
                heals=heals,
                healer=healer or HEALERS[heals],
                index=index,
                storage=storage,
                statuses=statuses,
                may_be_empty=may_be_empty,
                seconds=seconds,
            )
        )
        return inject

    return add
