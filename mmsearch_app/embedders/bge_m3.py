"""BGE-M3 (arXiv 2402.03216) by FlagEmbedding: words alone, in one vector and in weighted tokens."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from mmsearch_app.embedders.runtime import TorchEmbedder, TorchOptions
from mmsearch_app.inference import (
    TOKENIZER_FILES,
    Content,
    MissingWeights,
    Release,
    WordTokenizer,
    choose_device,
    digest_files,
    fetch,
    find_file,
    needing,
    tokenizer_files,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["BGEM3"]

_REVISION = "5617a9f61b028005a4858fdac845db406aefb181"
HEADS = ("sparse_linear.pt", "colbert_linear.pt")
"""FlagEmbedding makes up random ones, without a word, when either is missing."""
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_PREPROCESSING = "bge-m3-1"


class BGEM3(TorchEmbedder):
    """`BAAI/bge-m3` (multilingual, 568 M, 1024 dimensions; MIT), or a folder in its layout.

    It sees no picture. A document is embedded by its words, and by empty ones if it has none; a
    query without words raises ValueError. Its vectors are those that Visualized BGE m3 has for
    words, so they can be compared with pictures that were embedded by that. Words are cut at
    `max_length` tokens. A revision does not count where `path` is given, and the dimension is
    then that of the folder's `config.json`.
    """

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        revision: str = _REVISION,
        max_length: int = 512,
        **options: Unpack[TorchOptions],
    ) -> None:
        super().__init__(**options)
        if not 3 <= max_length <= 8192:
            msg = f"max_length must be from 3 to 8192 tokens, not {max_length}."
            raise ValueError(msg)
        self.path = None if path is None else Path(path)
        self.max_length = max_length
        self.release = Release(
            repository="BAAI/bge-m3",
            revision=revision,
            required=("config.json", "pytorch_model.bin", *HEADS, "tokenizer.json"),
            optional=TOKENIZER_FILES,
        )
        self.dimension = 1024 if self.path is None else _read_dimension(self.path)

    @property
    def fingerprint(self) -> str:
        """Of a folder the content counts, not the place."""
        origin = self.release.name if self.path is None else f"bge-m3:{self._digest}"
        return f"{origin}/{_PREPROCESSING}/{self.max_length}/{self.dimension}"

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Shape (n, dimension), float32, rows of length 1, of the words alone."""
        words = [Content(text=content.text or "") for content in contents]
        return super().embed_documents(words)

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """The same. Raises ValueError for a query that has a picture and no words."""
        if any(c.image is not None and not (c.text and c.text.strip()) for c in contents):
            msg = "BGE-M3 knows words alone and cannot be asked with a picture alone."
            raise ValueError(msg)
        return super().embed_queries([Content(text=content.text or "") for content in contents])

    def lexical_weights(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """How much each token of a text matters: weights above 0 by token id, learned.

        The inner product of two of them is the lexical score of the paper, and each is a sparse
        vector as Milvus takes it. Like a query, this downloads nothing.
        """
        if not texts:
            return []
        network = cast("M3Network", self._loaded(download=False))
        steps = range(0, len(texts), self.batch_size)
        return [
            weights
            for start in steps
            for weights in network.weigh(texts[start : start + self.batch_size])
        ]

    def warm_up(self) -> None:
        """Download what is missing, load, and embed a word."""
        self.embed_documents([Content(text="a")])

    @cached_property
    def _digest(self) -> str:
        folder = cast("Path", self.path)
        weights = [folder / name for name in _WEIGHTS if (folder / name).is_file()]
        return digest_files([*weights, folder / HEADS[0], *tokenizer_files(folder)])

    def _load(self, *, download: bool) -> M3Network:
        folder = self.path or fetch(self.release, download=download)
        return load_bge_m3(folder, device=self.device, dtype=self.dtype, max_length=self.max_length)


class M3Network:
    """What FlagEmbedding loaded, called directly.

    Its own `encode` computes the first batch twice to find out whether it fits, and repeats for
    ever after an error that smaller batches do not cure.
    """

    def __init__(self, loaded: Any, *, device: torch.device, max_length: int) -> None:
        self._loaded = loaded  # kept: when collected, it takes its model off the GPU
        self._model = loaded.model.to(device).eval()
        self._words = WordTokenizer(loaded.tokenizer)
        self._device = device
        self._limit = min(max_length, self._model.config.max_position_embeddings - 2)

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        """It sees no picture: raises TypeError."""
        msg = "BGE-M3 sees no pictures."
        raise TypeError(msg)

    def embed(
        self, pictures: Sequence[NDArray[Any]] | None, texts: Sequence[str] | None
    ) -> torch.Tensor:
        """Vectors of length 1, float32 (n, dimension)."""
        from torch.nn.functional import normalize

        vectors: torch.Tensor = self._run(texts or (), return_dense=True)["dense_vecs"]
        return normalize(vectors.float(), dim=-1)

    def weigh(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Weights above 0 by token id, without the special tokens."""
        import torch

        kinds = {"return_dense": False, "return_sparse": True, "return_sparse_embedding": True}
        with torch.inference_mode():
            rows = self._run(texts, **kinds)["sparse_vecs"].float().cpu()
        return [{int(i): float(row[i]) for i in torch.nonzero(row).flatten()} for row in rows]

    def _run(self, texts: Sequence[str], **kinds: bool) -> dict[str, torch.Tensor]:
        ids, mask = self._words(texts, limit=self._limit, device=self._device)
        found: dict[str, torch.Tensor] = self._model(
            {"input_ids": ids, "attention_mask": mask}, **kinds
        )
        return found


def load_bge_m3(folder: Path, *, device: str, dtype: str, max_length: int) -> M3Network:
    """The network of a folder in the hub's layout. Raises MissingWeights."""
    _require_files(folder)
    with needing("bge-m3"):
        from FlagEmbedding import BGEM3FlagModel

    chosen = choose_device(device)
    loaded = BGEM3FlagModel(
        str(folder),
        normalize_embeddings=False,
        use_fp16=dtype == "float16",
        use_bf16=dtype == "bfloat16",
        devices=str(chosen),
    )
    return M3Network(loaded, device=chosen, max_length=max_length)


def _require_files(folder: Path) -> None:
    for name in HEADS:
        find_file(folder, name)
    if not any((folder / name).is_file() for name in _WEIGHTS):
        msg = f"There is neither {' nor '.join(_WEIGHTS)} in {folder}."
        raise MissingWeights(msg)


def _read_dimension(folder: Path) -> int:
    if not folder.is_dir():
        msg = f"There is no folder {folder}; `path` must be one like the repository BAAI/bge-m3."
        raise MissingWeights(msg)
    config = find_file(folder, "config.json").read_text(encoding="utf-8")
    dimension: int = json.loads(config)["hidden_size"]
    return dimension
