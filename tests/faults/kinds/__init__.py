"""The faults, by what they happen to."""

from tests.faults.kinds import (
    clocks,
    database,
    editors,
    lite,
    model,
    queues,
    rebuilds,
    server,
    storage,
    workers,
)

GROUPS = tuple(
    kind.GROUP
    for kind in (workers, editors, rebuilds, database, server, lite, model, storage, queues, clocks)
)
