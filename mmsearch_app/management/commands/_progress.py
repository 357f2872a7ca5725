"""What the commands share: a progress bar on a terminal, and a word about an index in memory."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand
from tqdm import tqdm

from mmsearch_app.backends import get_index

__all__ = ["bar", "warn_of_memory"]


def bar(total: int | None, *, label: str, verbosity: int = 1) -> Any:
    """A bar that counts pictures; shown on a terminal only."""
    hidden = verbosity == 0 or not sys.stderr.isatty()
    return tqdm(total=total, desc=label, unit=" pictures", disable=hidden, leave=False)


def warn_of_memory(command: BaseCommand) -> None:
    """Say that what was indexed ends with this process, where that is so."""
    from mmsearch_app.indexes.memory import MemoryIndex

    if isinstance(get_index(), MemoryIndex):
        told = "This index is in the memory of this process, no other sees it, and it ends here."
        command.stderr.write(command.style.WARNING(told))
