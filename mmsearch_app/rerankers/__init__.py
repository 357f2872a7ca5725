"""Rerankers: models that look at the candidates, behind the protocol in `base`."""

from mmsearch_app.rerankers.base import Ranking, Reranker
from mmsearch_app.rerankers.fusion import fuse, fuse_scores, trust
from mmsearch_app.rerankers.replies.parsing import clean

__all__ = ["Ranking", "Reranker", "clean", "fuse", "fuse_scores", "trust"]
