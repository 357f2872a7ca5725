"""Models of OpenCLIP: Marqo's for e-commerce, MobileCLIP 2, SigLIP 2, and hundreds more."""

from __future__ import annotations

import hashlib
import html
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.embedders.runtime import HubEmbedder, Network, TorchOptions
from mmsearch_app.inference import (
    Release,
    defuse,
    fetch,
    find_file,
    find_folder,
    find_marks,
    needing,
    renew_after_fork,
    require_origin,
    require_share,
    trim,
)

if TYPE_CHECKING:
    import torch
    from PIL import Image

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
"""The patterns by which OpenCLIP looks for weights in a folder."""
_PREPROCESSING = "open-clip-2"


class OpenCLIPEmbedder(HubEmbedder):
    """A model in OpenCLIP's layout: a repository of the hub, or a folder (`path`).

    The repository must contain `open_clip_config.json`, as `Marqo/marqo-ecommerce-embeddings-B`
    (768 dimensions), `-L` (1024) and `timm/MobileCLIP2-S0-OpenCLIP` (512) do. `dimension` is the
    length of the model's vectors.

    These models embed an image or a text. An image with a text becomes the normalised sum of
    `image_weight` times the image's and `1 - image_weight` times the text's unit vector.
    Needs the extra `open-clip`, which installs torchvision too.
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
        require_origin(model=model, path=path, example="Marqo/marqo-ecommerce-embeddings-B")
        require_share(image_weight=image_weight)
        release = Release(repository=model, revision=revision, required=(CONFIG,), optional=_FILES)
        folder = None if path is None else find_folder(Path(path))
        super().__init__(path=folder, release=release, **options)
        self.dimension = dimension
        self.image_weight = image_weight

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(str(self.image_weight).encode()).hexdigest()[:8]
        return f"{self._origin()}/{_PREPROCESSING}/{digest}/{self.documents}/{self.dimension}"

    def _files(self, path: Path) -> list[Path]:
        config = find_file(path, CONFIG)
        found = {file for pattern in (*_WEIGHTS, *_FILES) for file in path.glob(pattern)}
        return [config, *sorted(found)]

    def _load(self, *, download: bool) -> Network:
        with needing("open-clip"):
            import open_clip
        folder = self.path or fetch(self.release, download=download, complete=_has_weights)
        find_file(folder, CONFIG)
        name = f"local-dir:{folder}"
        # Raises RuntimeError if the folder has no weights, rather than inventing random ones.
        model, prepare = open_clip.create_model_from_pretrained(name)
        model = model.to(**self._placement()).eval()
        return Towers(
            model,
            prepare,
            open_clip.get_tokenizer(name),
            dimension=self.dimension,
            weight=self.image_weight,
            lower=_is_siglip(folder),
        )


def _is_siglip(folder: Path) -> bool:
    """Whether the model's tokenizer is that of a SigLIP, which was trained on small letters.

    OpenCLIP lower-cases only if the configuration says `"clean": "canonicalize"` or "lower"
    (mlfoundations/open_clip, `tokenizer.py`), which not every repository's does.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    text = config.get("model_cfg", {}).get("text_cfg", {})
    return "siglip" in str(text.get("hf_tokenizer_name", "")).lower()


class Towers:
    """An image encoder and a text encoder with one vector space."""

    def __init__(
        self,
        model: Any,
        prepare: Callable[[Image.Image], torch.Tensor],
        tokenize: Callable[[list[str]], torch.Tensor],
        *,
        dimension: int,
        weight: float,
        lower: bool = False,
    ) -> None:
        self._model = model
        self._prepare = prepare
        self._tokenize = tokenize
        self._dimension = dimension
        self._weight = weight
        self._lower = lower
        self._marks = find_marks(getattr(tokenize, "tokenizer", tokenize))
        self._reset()
        renew_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = Lock()

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        """Apply the model's own transform: (3, height, width), float32."""
        pixels: NDArray[Any] = self._prepare(trim(image)).numpy()
        return pixels

    def embed(
        self, images: Sequence[NDArray[Any]] | None, texts: Sequence[str] | None
    ) -> torch.Tensor:
        if images is None:
            return self._embed_texts(texts or ())
        if texts is None:
            return self._embed_images(images)
        from torch.nn.functional import normalize

        seen, said = self._embed_images(images), self._embed_texts(texts)
        return normalize(self._weight * seen + (1 - self._weight) * said, dim=-1)

    def _embed_images(self, images: Sequence[NDArray[Any]]) -> torch.Tensor:
        import torch

        first = next(self._model.parameters())
        pixels = torch.from_numpy(np.stack(images)).to(device=first.device, dtype=first.dtype)
        return self._fit(self._model.encode_image(pixels))

    def _embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        clean = [self._clean(text) for text in texts]
        with self._lock:  # tokenizers change their state while they truncate
            ids = self._tokenize(clean)
        return self._fit(self._model.encode_text(ids.to(next(self._model.parameters()).device)))

    def _clean(self, text: str) -> str:
        """Control tokens as plain text, also those that OpenCLIP would decode from "&lt;"."""
        while (plain := html.unescape(text)) != text:
            text = plain
        text = defuse(defuse(text), self._marks)
        return text.lower() if self._lower else text

    def _fit(self, features: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import normalize

        found = features.shape[-1]
        if found != self._dimension:
            msg = f"The vectors of the model have {found} dimensions: set dimension={found}."
            raise ValueError(msg)
        return normalize(features.float(), dim=-1)


def _has_weights(folder: Path) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in _WEIGHTS)
