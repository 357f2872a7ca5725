"""BGE-VL (MegaPairs, arXiv 2412.14475): CLIP trained to compose pictures with words."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from mmsearch_app.embedders.runtime import Network, TorchEmbedder, TorchOptions
from mmsearch_app.inference import (
    TOKENIZER_FILES,
    InvalidWeights,
    MissingWeights,
    Release,
    WordTokenizer,
    crop_square,
    digest_files,
    fetch,
    find_file,
    floor_half,
    load_tokenizer,
    normalise_pixels,
    require_one_of,
    tokenizer_files,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["BGEVL"]

_WEIGHTS = "model.safetensors"
DIMENSIONS = {"base": 512, "large": 768}
TEXT_LIMIT = 77
COMPOSED_LIMIT = 75
"""Tokens of words beside a picture, as in the published evaluation."""
_PREPROCESSING = "clip-pil-1"


class BGEVL(TorchEmbedder):
    """`BAAI/BGE-VL-base` (512 dimensions, 149 M) or `-large` (768, 428 M); MIT.

    Composed: the normalised sum of the projected, unnormalised features of picture and words.
    `revision` is best a commit. "main" may move: then the fingerprint names the commit that this
    machine downloaded, which is kept.
    `path` is a folder in the layout of the hub's repository; then `revision` does not count and
    the dimension is that of its `config.json`. The repository's own code is never run: its
    computation is that of the `CLIPModel` of transformers.

    Raises MissingWeights when `path` is given and holds no model.
    """

    def __init__(
        self,
        *,
        model: str = "base",
        path: str | os.PathLike[str] | None = None,
        revision: str = "main",
        **options: Unpack[TorchOptions],
    ) -> None:
        super().__init__(**options)
        require_one_of("model", model, DIMENSIONS)
        self.model = model
        self.path = None if path is None else Path(path)
        self.release = Release(
            repository=f"BAAI/BGE-VL-{model}",
            revision=revision,
            required=("config.json", _WEIGHTS, "tokenizer_config.json"),
            optional=TOKENIZER_FILES,
        )
        self.dimension = DIMENSIONS[model] if self.path is None else _read_dimension(self.path)

    @property
    def fingerprint(self) -> str:
        """Of weights in a folder the content counts, not the place."""
        origin = self.release.name if self.path is None else f"bge-vl:{self._digest}"
        return f"{origin}/{_PREPROCESSING}/{self.documents}/{self.dimension}"

    @cached_property
    def _digest(self) -> str:
        folder = cast("Path", self.path)
        return digest_files([find_file(folder, _WEIGHTS), *tokenizer_files(folder)])

    def _load(self, *, download: bool) -> Network:
        folder = self.path or fetch(self.release, download=download)
        return load_bge_vl(folder, **self._placement())


def load_bge_vl(folder: Path, *, device: torch.device, dtype: torch.dtype) -> ComposedCLIP:
    """The network of a folder in the hub's layout. Raises MissingWeights or InvalidWeights."""
    from transformers import CLIPModel

    find_file(folder, _WEIGHTS)
    loaded: Any = CLIPModel.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    model, report = loaded
    if problems := sorted({*report["missing_keys"], *report["unexpected_keys"]}):
        msg = f"{folder} does not hold a BGE-VL: {', '.join(problems[:3])} missing or unknown."
        raise InvalidWeights(msg)
    return ComposedCLIP(model.to(device).eval(), WordTokenizer(load_tokenizer(folder)))


class ComposedCLIP:
    """A CLIP whose query is the sum of its two features."""

    def __init__(self, model: Any, words: WordTokenizer) -> None:
        self.model = model
        self.words = words
        self.size: int = model.config.vision_config.image_size

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """The middle of the picture, exactly as CLIPImageProcessorPil cuts it."""
        return crop_square(image.convert("RGB"), self.size, begin=floor_half)

    def embed(
        self, pictures: Sequence[NDArray[Any]] | None, texts: Sequence[str] | None
    ) -> torch.Tensor:
        """Vectors of length 1, float32 (n, dimension)."""
        import torch
        from torch.nn.functional import normalize

        features = []
        if pictures is not None:
            pixels = normalise_pixels(pictures, device=self.model.device, dtype=self.model.dtype)
            features.append(pooled(self.model.get_image_features(pixel_values=pixels)))
        if texts is not None:
            limit = TEXT_LIMIT if pictures is None else COMPOSED_LIMIT
            ids, mask = self.words(texts, limit=limit, device=self.model.device)
            found = self.model.get_text_features(input_ids=ids, attention_mask=mask)
            features.append(pooled(found))
        return normalize(torch.stack(features).float().sum(0), dim=-1)


def pooled(output: Any) -> torch.Tensor:
    """The projected features: what transformers 4 returns, and 5 holds as `pooler_output`."""
    features: torch.Tensor = getattr(output, "pooler_output", output)
    return features


def _read_dimension(folder: Path) -> int:
    config = find_file(folder, "config.json") if folder.is_dir() else None
    if config is None:
        msg = f"There is no folder {folder}; `path` must hold config.json and {_WEIGHTS}."
        raise MissingWeights(msg)
    dimension: int = json.loads(config.read_text(encoding="utf-8"))["projection_dim"]
    return dimension
