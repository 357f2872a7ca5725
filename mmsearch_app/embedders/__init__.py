"""Embedders: one module per model family, behind the protocol in `base`."""

from mmsearch_app.embedders.base import Content, Embedder, check_vectors, scale_for
from mmsearch_app.embedders.batching import Batcher
from mmsearch_app.embedders.composing import Composer, DescribedImage, find_composer
from mmsearch_app.embedders.presets import PRESETS, Preset, find_preset
