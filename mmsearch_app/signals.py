"""Signals that a shop may connect to."""

from __future__ import annotations

from django.dispatch import Signal

__all__ = ["searched"]

searched = Signal()
"""Sent after every search. Arguments: `request` ("search", or "late" for a late rerank), `answer`
(an `Answer`, or None) and `error` (the exception, or None). Exceptions of receivers are logged.
The answer contains the visitor's words and image: do not store them."""
