"""MagicLens (arXiv 2403.19651): image retrieval by open-ended instructions."""

from mmsearch_app.embedders.magiclens.embedder import MagicLens
