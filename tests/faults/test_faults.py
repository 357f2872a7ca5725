"""After every fault, nothing is lost and nothing is wrong: `make faults`."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from mmsearch_app.indexes import IndexFault
from tests.faults import kinds
from tests.faults.comparison import lost
from tests.faults.faults import FAULTS, Fault
from tests.faults.scene import Scene, heal
from tests.faults.visitor import Visitor

pytestmark = [
    pytest.mark.faults,
    # Sockets of servers that were killed, warnings of botocore and moto at import.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ORDERED = sorted(FAULTS, key=lambda fault: (fault.index, fault.storage))
"""A change of index or storage starts with an empty shop."""
PART, PARTS = map(int, os.environ.get("MMSEARCH_FAULTS_PART", "0/1").split("/"))
"""Which faults this process injects, if several share them."""
FEWEST = 60


def test_there_are_many_faults_of_every_kind() -> None:
    assert len(FAULTS) >= FEWEST
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert {fault.group for fault in FAULTS} == set(kinds.GROUPS)


@pytest.mark.parametrize("fault", ORDERED[PART::PARTS], ids=lambda fault: fault.name)
def test_nothing_is_lost_and_nothing_is_wrong(
    fault: Fault, scene: Scene, results: list[dict[str, Any]]
) -> None:
    scene.prepare(index=fault.index, storage=fault.storage)
    scene.visitor = visitor = Visitor()
    visitor.enter()
    try:
        missing = _inject(fault, scene, visitor)
        began = time.monotonic()
        left = heal(fault.healer, seconds=fault.seconds)
        seconds = time.monotonic() - began
        visitor.look()
    finally:
        visitor.leave()
    results.append(
        {
            "number": _number(fault),
            "fault": fault.name,
            "group": fault.group,
            "index": fault.index,
            "lost": missing,
            "stale": len(visitor.stale),
            "answers": {str(status): count for status, count in visitor.answers.items()},
            "healed by": fault.heals,
            "seconds": round(seconds, 1),
        }
    )
    assert left == []
    assert visitor.stale == set()
    assert set(visitor.answers) <= fault.statuses, visitor.answers
    assert visitor.answers[200]
    assert fault.may_be_empty or not visitor.empty


def _number(fault: Fault) -> int:
    """Return the fault's place in the table."""
    return 1000 * kinds.GROUPS.index(fault.group) + FAULTS.index(fault)


def _inject(fault: Fault, scene: Scene, visitor: Visitor) -> int | None:
    """Let it happen; returns how many pictures are out of date then, if that is known."""
    going_on = fault.inject(scene)
    if going_on is not None:
        next(going_on)
        visitor.look()
        next(going_on, None)
    else:
        visitor.look()
    try:
        return lost()
    except IndexFault:
        return None
