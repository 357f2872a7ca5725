"""Visualized BGE (VISTA, arXiv 2406.04292): a text embedder that reads images as tokens."""

from mmsearch_app.embedders.visualized_bge.embedder import VisualizedBGE
