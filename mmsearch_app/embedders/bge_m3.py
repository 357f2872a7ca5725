"""BGE-M3 (arXiv 2402.03216) by FlagEmbedding: texts as one vector and as weighted tokens."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.embedders.runtime import HubEmbedder, TorchOptions, read_dimension
from mmsearch_app.inference import (
    TOKENIZER_FILES,
    Content,
    MissingWeights,
    Release,
    WordTokenizer,
    choose_device,
    fetch,
    find_file,
    find_folder,
    needing,
    tokenizer_files,
)

if TYPE_CHECKING:
    import torch
    from PIL import Image

_REVISION = "5617a9f61b028005a4858fdac845db406aefb181"
HEADS = ("sparse_linear.pt", "colbert_linear.pt")
"""Required, because FlagEmbedding silently replaces a missing one by random weights."""
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_PREPROCESSING = "bge-m3-1"


class BGEM3(HubEmbedder):
    """`BAAI/bge-m3` (multilingual, 568 M parameters, 1024 dimensions; MIT), or a folder like it.

    It cannot see images: a document is embedded by its text, or by "" if it has none, and a query
    without a text raises ValueError. Its vectors equal those of Visualized BGE m3 for texts, so
    they can be compared with images embedded by that. Texts are cut to `max_length` tokens. The
    `config.json` of `path` gives the dimension.
    """

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        revision: str = _REVISION,
        max_length: int = 512,
        **options: Unpack[TorchOptions],
    ) -> None:
        if not 3 <= max_length <= 8192:
            msg = f"max_length must be from 3 to 8192 tokens, not {max_length}."
            raise ValueError(msg)
        release = Release(
            repository="BAAI/bge-m3",
            revision=revision,
            required=("config.json", "pytorch_model.bin", *HEADS, "tokenizer.json"),
            optional=TOKENIZER_FILES,
        )
        folder = None if path is None else find_folder(Path(path))
        super().__init__(path=folder, release=release, **options)
        self.max_length = max_length
        self.dimension = 1024 if self.path is None else read_dimension(self.path, "hidden_size")

    @property
    def fingerprint(self) -> str:
        return (
            f"{self._origin(local='bge-m3:')}/{_PREPROCESSING}/{self.max_length}/{self.dimension}"
        )

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        return super().embed_documents([_text_of(content) for content in contents])

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Embed the queries' texts. Raises ValueError if one is an image alone."""
        if any(c.image is not None and not (c.text and c.text.strip()) for c in contents):
            msg = "BGE-M3 embeds texts only; a query needs words."
            raise ValueError(msg)
        return super().embed_queries([_text_of(content) for content in contents])

    def lexical_weights(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Return how much each token matters: learned weights above 0 by token id, per text.

        Each is a sparse vector in Milvus's format; the inner product of two is the paper's lexical
        score. Downloads nothing.
        """
        if not texts:
            return []
        network = cast("M3Network", self._loaded(download=False))
        weights: list[dict[int, float]] = []
        for start in range(0, len(texts), self.batch_size):
            weights += network.weigh(texts[start : start + self.batch_size])
        return weights

    def warm_up(self) -> None:
        self.embed_documents([Content(text="a")])

    def _files(self, path: Path) -> list[Path]:
        weights = [path / name for name in _WEIGHTS if (path / name).is_file()]
        return [*weights, path / HEADS[0], *tokenizer_files(path)]

    def _load(self, *, download: bool) -> M3Network:
        folder = self.path or fetch(self.release, download=download)
        return load_bge_m3(folder, device=self.device, dtype=self.dtype, max_length=self.max_length)


class M3Network:
    """The model that FlagEmbedding loaded, called directly.

    FlagEmbedding's `encode` computes the first batch twice to find out whether it fits in memory,
    and repeats for ever after an error that smaller batches do not cure.
    """

    def __init__(self, loaded: Any, *, device: torch.device, max_length: int) -> None:
        self._loaded = loaded  # kept: once collected, it moves its model off the GPU
        self._model = loaded.model.to(device).eval()
        self._words = WordTokenizer(loaded.tokenizer)
        self._device = device
        self._limit = min(max_length, self._model.config.max_position_embeddings - 2)

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        """Raise TypeError: `BGEM3` passes no images on."""
        msg = "BGE-M3 cannot see images."
        raise TypeError(msg)

    def embed(
        self, images: Sequence[NDArray[Any]] | None, texts: Sequence[str] | None
    ) -> torch.Tensor:
        from torch.nn.functional import normalize

        vectors: torch.Tensor = self._run(texts or (), return_dense=True)["dense_vecs"]
        return normalize(vectors.float(), dim=-1)

    def weigh(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Return weights above 0 by token id, without the special tokens."""
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
    """Load the model of a folder in the hub's layout. Raises MissingWeights."""
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


def _text_of(content: Content) -> Content:
    return Content(text=content.text or "")
