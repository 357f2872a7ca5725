"""What the commands share: a progress bar, and the warning about an index in memory."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand
from tqdm import tqdm

from mmsearch_app.backends import get_index

__all__ = ["bar", "warn_of_memory"]


def bar(total: int | None, *, label: str, verbosity: int = 1) -> Any:
    """Return a bar that counts images; it is shown on a terminal only."""
    hidden = verbosity == 0 or not sys.stderr.isatty()
    return tqdm(total=total, desc=label, unit=" images", disable=hidden, leave=False)


def warn_of_memory(command: BaseCommand) -> None:
    """Warn if the index is in memory: what this command indexed ends with it."""
    from mmsearch_app.indexes.memory import MemoryIndex

    if isinstance(get_index(), MemoryIndex):
        text = "The index is in the memory of this process: it ends now, and no other can see it."
        command.stderr.write(command.style.WARNING(text))
