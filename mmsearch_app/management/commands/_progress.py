"""What the commands share: a progress bar, and what they refuse or warn of."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from mmsearch_app.backends import get_index
from mmsearch_app.sources import explain_empty, forget_logged, registry

__all__ = ["bar", "failing_on_logged_errors", "require_sources", "warn_of_memory"]


def bar(total: int | None, *, label: str, verbosity: int = 1) -> Any:
    """Return a bar that counts images; it is shown on a terminal only."""
    hidden = verbosity == 0 or not sys.stderr.isatty()
    return tqdm(total=total, desc=label, unit=" images", disable=hidden, leave=False)


def require_sources() -> None:
    """Raise CommandError if no source is registered: every entry would count as removed."""
    if not len(registry):
        raise CommandError(explain_empty())


def warn_of_memory(command: BaseCommand) -> None:
    """Warn if the index is in memory: what this command indexed ends with it."""
    from mmsearch_app.indexes.memory import MemoryIndex

    if isinstance(get_index(), MemoryIndex):
        text = "The index is in the memory of this process: it ends now, and no other can see it."
        command.stderr.write(command.style.WARNING(text))


@contextmanager
def failing_on_logged_errors() -> Iterator[None]:
    """Raise at the end what the block caught and logged, such as errors of the shop's hooks."""
    forget_logged()
    caught: list[BaseException] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1]:
                caught.append(record.exc_info[1])

    collector, logger = Collector(logging.ERROR), logging.getLogger("mmsearch_app")
    logger.addHandler(collector)
    try:
        yield
    finally:
        logger.removeHandler(collector)
    if caught:
        raise caught[0]
