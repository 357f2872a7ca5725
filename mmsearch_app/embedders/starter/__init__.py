"""An embedder for trying out: small pretrained models from ordinary packages, no hub."""

from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.embedders.starter.weights import PartMissing
