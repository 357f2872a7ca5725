"""BGE-VL (MegaPairs, arXiv 2412.14475): CLIP trained to compose images with texts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.embedders.runtime import HubEmbedder, Network, TorchOptions, read_dimension
from mmsearch_app.inference import (
    TOKENIZER_FILES,
    Release,
    WordTokenizer,
    check_layout,
    crop_square,
    fetch,
    find_file,
    find_folder,
    floor_half,
    load_tokenizer,
    normalise_pixels,
    read_checkpoint,
    require_one_of,
    shapes_of,
    tokenizer_files,
)

if TYPE_CHECKING:
    import torch
    from PIL import Image

_WEIGHTS = "model.safetensors"
_OTHER_WEIGHTS = ("pytorch_model.bin",)
DIMENSIONS = {"base": 512, "large": 768}
TEXT_LIMIT = 77
COMPOSED_LIMIT = 75
"""Tokens of a text beside an image, as in the published evaluation."""
_PREPROCESSING = "clip-pil-1"


class BGEVL(HubEmbedder):
    """`BAAI/BGE-VL-base` (512 dimensions, 149 M parameters) or `-large` (768, 428 M); MIT.

    An image with a text becomes the normalised sum of their projected, unnormalised features.
    `revision` should be a commit: "main" may move, and the fingerprint then names the commit that
    this machine downloaded. `path` is a folder with the files of the hub's repository, or the file
    of weights in it; its `config.json` gives the dimension. The repository's own code is never
    run: the `CLIPModel` of transformers computes the same.

    Raises MissingWeights if `path` is given and is not such a folder.
    """

    image_side = 448
    """Twice the 224 pixels that both models read."""

    def __init__(
        self,
        *,
        model: str = "base",
        path: str | os.PathLike[str] | None = None,
        revision: str = "main",
        **options: Unpack[TorchOptions],
    ) -> None:
        require_one_of("model", model, DIMENSIONS)
        release = Release(
            repository=f"BAAI/BGE-VL-{model}",
            revision=revision,
            required=("config.json", _WEIGHTS, "tokenizer_config.json"),
            optional=TOKENIZER_FILES,
        )
        super().__init__(path=path, release=release, **options)
        self.dimension = DIMENSIONS[model]
        if self.path is not None:
            self.dimension = read_dimension(find_folder(self.path), "projection_dim")

    @property
    def fingerprint(self) -> str:
        origin = self._origin(local="bge-vl:")
        return f"{origin}/{_PREPROCESSING}/{self.documents}/{self.dimension}"

    def _files(self, path: Path) -> list[Path]:
        return [_find_weights(path), *tokenizer_files(find_folder(path))]

    def _load(self, *, download: bool) -> Network:
        folder = self.path or fetch(self.release, download=download)
        return load_bge_vl(folder, **self._placement())


def _find_weights(path: Path) -> Path:
    """The file of weights: `path` or in that folder. Raises MissingWeights."""
    if path.is_dir() and not (path / _WEIGHTS).is_file():
        for name in _OTHER_WEIGHTS:
            if (path / name).is_file():
                return path / name
    return find_file(path, _WEIGHTS)


def load_bge_vl(path: Path, *, device: torch.device, dtype: torch.dtype) -> ComposedCLIP:
    """Load the model of a folder in the hub's layout, or of the file of weights in it.

    Raises MissingWeights or InvalidWeights.
    """
    import torch
    from transformers import CLIPConfig, CLIPModel

    file, folder = _find_weights(path), find_folder(path)
    config = CLIPConfig.from_pretrained(folder, local_files_only=True)
    state = read_checkpoint(file)
    with torch.device("meta"):
        expected = shapes_of(CLIPModel(config).state_dict())
    check_layout(shapes_of(state), expected, origin=file)
    model: Any = CLIPModel.from_pretrained(None, config=config, state_dict=state, dtype=dtype)
    return ComposedCLIP(model.to(device).eval(), WordTokenizer(load_tokenizer(folder)))


class ComposedCLIP:
    """A CLIP that adds its two features if it gets an image with a text."""

    def __init__(self, model: Any, words: WordTokenizer) -> None:
        self.model = model
        self.words = words
        self.size: int = model.config.vision_config.image_size

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Crop the middle of the image exactly as transformers' CLIPImageProcessorPil does."""
        return crop_square(image.convert("RGB"), self.size, begin=floor_half)

    def embed(
        self, images: Sequence[NDArray[Any]] | None, texts: Sequence[str] | None
    ) -> torch.Tensor:
        import torch
        from torch.nn.functional import normalize

        features = []
        if images is not None:
            pixels = normalise_pixels(images, device=self.model.device, dtype=self.model.dtype)
            features.append(pooled(self.model.get_image_features(pixel_values=pixels)))
        if texts is not None:
            limit = TEXT_LIMIT if images is None else COMPOSED_LIMIT
            ids, mask = self.words(texts, limit=limit, device=self.model.device)
            found = self.model.get_text_features(input_ids=ids, attention_mask=mask)
            features.append(pooled(found))
        return normalize(torch.stack(features).float().sum(0), dim=-1)


def pooled(output: Any) -> torch.Tensor:
    """Return the projected features: transformers 4 returns them, 5 as `pooler_output`."""
    features: torch.Tensor = getattr(output, "pooler_output", output)
    return features
