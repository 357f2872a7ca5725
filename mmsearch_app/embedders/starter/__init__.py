"""A first embedder: small pretrained parts from ordinary packages, nothing to train or fetch."""

from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.embedders.starter.weights import PartMissing

__all__ = ["PartMissing", "StarterEmbedder"]
