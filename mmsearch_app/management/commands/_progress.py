"""What the commands share: a progress bar on a terminal, quiet elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

__all__ = ["bar"]


def bar(total: int | None, *, label: str, verbosity: int = 1) -> Any:
    """A bar that counts pictures; shown on a terminal only."""
    hidden = verbosity == 0 or not sys.stderr.isatty()
    return tqdm(total=total, desc=label, unit=" pictures", disable=hidden, leave=False)
