"""The faults, by what they happen to."""

from tests.faults.kinds import editors, rebuilds, server, workers

GROUPS = tuple(kind.GROUP for kind in (workers, editors, rebuilds, server))
