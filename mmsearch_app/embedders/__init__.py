"""Embedders: one module per model family, behind the protocol of `base`."""

from mmsearch_app.embedders.base import Content, Embedder

__all__ = ["Content", "Embedder"]
