"""Waiting for an index that is being built: look by look, with patience, but not for ever."""

from __future__ import annotations

import logging
import time

from mmsearch_app.conf import get_index
from mmsearch_app.indexes.base import IndexUnavailable

__all__ = ["Settling"]

log = logging.getLogger(__name__)


class Settling:
    """The time between the fill of a generation and its switch.

    It ends as well when the index stands still for `PATIENCE` seconds, or refuses. Then the
    generation is complete all the same, only searched less well for a while; without a switch
    visitors would have an old catalogue or, after a change of model, no search at all.
    """

    PATIENCE = 600.0

    def __init__(self, generation: str) -> None:
        self.generation = generation
        self._shares = get_index().settle(generation=generation)
        self._share = -1.0
        self._moved_at = time.monotonic()

    def look(self) -> bool:
        """Whether there is nothing more to wait for; takes a short call of the index.

        Raises IndexMissing when the generation is gone.
        """
        try:
            share = next(self._shares, None)
        except IndexUnavailable as error:
            log.warning("%s goes live before it is settled: %s", self.generation, error)
            return True
        if share is None:
            return True
        now = time.monotonic()
        if share > self._share:
            log.info("The index of %s is built to %.0f %%", self.generation, 100 * share)
            self._share, self._moved_at = share, now
        elif now - self._moved_at > self.PATIENCE:
            log.warning("%s goes live before it is settled: it stands still", self.generation)
            return True
        return False
