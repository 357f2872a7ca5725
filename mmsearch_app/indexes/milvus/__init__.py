"""Milvus: a Lite file, a Lite server, a Milvus server or cluster, or Zilliz Cloud."""

from mmsearch_app.indexes.milvus.index import MilvusIndex

__all__ = ["MilvusIndex"]
