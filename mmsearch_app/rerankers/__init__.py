"""Rerankers: models that look at the candidates, behind the protocol of `base`."""

from mmsearch_app.rerankers.base import Ranking, Reranker

__all__ = ["Ranking", "Reranker"]
