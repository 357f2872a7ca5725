"""A reranker whose reason depends on the active language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.utils.translation import get_language

from mmsearch_app.inference.content import Content
from mmsearch_app.rerankers.base import Ranking


class Polyglot:
    """Reverses the order; the reason is the code of the active language."""

    fingerprint = "polyglot-1"
    asked: ClassVar[list[str]] = []

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        language = get_language() or ""
        self.asked.append(language)
        return Ranking(order=tuple(reversed(range(len(candidates)))), reason=language)
