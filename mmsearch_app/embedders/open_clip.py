"""Models of OpenCLIP: Marqo's for e-commerce, MobileCLIP 2, SigLIP 2, and hundreds more."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Unpack, cast

from mmsearch_app.embedders.runtime import Network, TorchEmbedder, TorchOptions
from mmsearch_app.inference import (
    Release,
    digest_files,
    fetch,
    find_file,
    needing,
    require_origin,
    require_share,
    trim,
)

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["OpenCLIPEmbedder"]

CONFIG = "open_clip_config.json"
_FILES = (
    "open_clip_*.safetensors",
    "open_clip_*.bin",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)
_WEIGHTS = ("*.safetensors", "*.bin", "*.pth")
"""The patterns by which OpenCLIP itself looks for them in a folder."""
_PREPROCESSING = "open-clip-1"


class OpenCLIPEmbedder(TorchEmbedder):
    """A model in OpenCLIP's layout: a repository of the hub, or a folder by `path`.

    Such a repository holds `open_clip_config.json`, as `Marqo/marqo-ecommerce-embeddings-B` (768
    dimensions), `-L` (1024) and `timm/MobileCLIP2-S0-OpenCLIP` (512) do. `dimension` is the
    length of the model's vectors.

    These models take a picture or words. A picture with words is the normalised sum of
    `image_weight` times the picture's and `1 - image_weight` times the words' unit vector.
    Needs the extra `open-clip`, which brings torchvision along.
    """

    def __init__(
        self,
        *,
        model: str = "",
        dimension: int,
        path: str | os.PathLike[str] | None = None,
        revision: str = "main",
        image_weight: float = 0.5,
        **options: Unpack[TorchOptions],
    ) -> None:
        super().__init__(**options)
        require_origin(model=model, path=path, example="Marqo/marqo-ecommerce-embeddings-B")
        require_share(image_weight=image_weight)
        self.dimension = dimension
        self.path = None if path is None else Path(path)
        self.release = Release(
            repository=model, revision=revision, required=(CONFIG,), optional=_FILES
        )
        self.image_weight = image_weight

    @property
    def fingerprint(self) -> str:
        """Of a folder the content counts, not the place."""
        origin = self.release.name if self.path is None else self._digest
        digest = hashlib.sha256(str(self.image_weight).encode()).hexdigest()[:8]
        return f"{origin}/{_PREPROCESSING}/{digest}/{self.documents}/{self.dimension}"

    @cached_property
    def _digest(self) -> str:
        return digest_files(_files(cast("Path", self.path)))

    def _load(self, *, download: bool) -> Network:
        with needing("open-clip"):
            import open_clip
        folder = self.path or fetch(self.release, download=download, complete=_has_weights)
        find_file(folder, CONFIG)
        name = f"local-dir:{folder}"
        # Raises RuntimeError where the folder holds no weights, instead of making some up.
        model, prepare = open_clip.create_model_from_pretrained(name)
        model = model.to(**self._placement()).eval()
        words = open_clip.get_tokenizer(name)
        return Towers(model, prepare, words, dimension=self.dimension, weight=self.image_weight)


class Towers:
    """A picture tower and a words tower that end in one space."""

    def __init__(
        self,
        model: Any,
        prepare: Callable[[Image.Image], torch.Tensor],
        words: Callable[[list[str]], torch.Tensor],
        *,
        dimension: int,
        weight: float,
    ) -> None:
        self._model = model
        self._prepare = prepare
        self._words = words
        self._dimension = dimension
        self._weight = weight
        self._lock = Lock()

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        """The picture as the model's own transform makes it, (3, height, width), float32."""
        pixels: NDArray[Any] = self._prepare(trim(image)).numpy()
        return pixels

    def embed(
        self, pictures: Sequence[NDArray[Any]] | None, texts: Sequence[str] | None
    ) -> torch.Tensor:
        """Vectors of length 1, float32 (n, dimension)."""
        if pictures is None:
            return self._embed_words(texts or ())
        if texts is None:
            return self._embed_pictures(pictures)
        from torch.nn.functional import normalize

        seen, said = self._embed_pictures(pictures), self._embed_words(texts)
        return normalize(self._weight * seen + (1 - self._weight) * said, dim=-1)

    def _embed_pictures(self, pictures: Sequence[NDArray[Any]]) -> torch.Tensor:
        import numpy as np
        import torch

        first = next(self._model.parameters())
        pixels = torch.from_numpy(np.stack(pictures)).to(device=first.device, dtype=first.dtype)
        return self._fit(self._model.encode_image(pixels))

    def _embed_words(self, texts: Sequence[str]) -> torch.Tensor:
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        with self._lock:  # a tokenizer keeps a state while it cuts
            ids = self._words(clean)
        return self._fit(self._model.encode_text(ids.to(next(self._model.parameters()).device)))

    def _fit(self, features: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import normalize

        found = features.shape[-1]
        if found != self._dimension:
            msg = f"The vectors of the model have {found} dimensions: set dimension={found}."
            raise ValueError(msg)
        return normalize(features.float(), dim=-1)


def _has_weights(folder: Path) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in _WEIGHTS)


def _files(folder: Path) -> list[Path]:
    """What decides about the vectors, in a fixed order. Raises MissingWeights."""
    config = find_file(folder, CONFIG)
    found = {file for pattern in (*_WEIGHTS, *_FILES) for file in folder.glob(pattern)}
    return [config, *sorted(found)]
