"""Visualized BGE as an embedder: options, files, fingerprint."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Unpack

from mmsearch_app.embedders.runtime import (
    Network,
    Options,
    TorchEmbedder,
    choose_device,
    choose_dtype,
)
from mmsearch_app.embedders.visualized_bge.architecture import ARCHITECTURES, Architecture
from mmsearch_app.embedders.weights import (
    TOKENIZER_FILES,
    Release,
    digest_files,
    fetch,
    find_file,
    find_tokenizer,
    load_tokenizer,
    read_checkpoint,
    tokenizer_files,
)
from mmsearch_app.embedders.words import Words

__all__ = ["VisualizedBGE"]

FILES = {"base": "Visualized_base_en_v1.5.pth", "m3": "Visualized_m3.pth"}
REVISION = "98db10b10d22620010d06f11733346e1c98c34aa"
TOKENIZERS = {
    "base": Release(
        repository="BAAI/bge-base-en-v1.5",
        revision="a5beb1e3e68b9ab74eb54cfd186867f64f240e1a",
        required=("tokenizer.json",),
        optional=TOKENIZER_FILES,
    ),
    "m3": Release(
        repository="BAAI/bge-m3",
        revision="5617a9f61b028005a4858fdac845db406aefb181",
        required=("tokenizer.json",),
        optional=TOKENIZER_FILES,
    ),
}
PREPROCESSING = "eva-clip-1"


class VisualizedBGE(TorchEmbedder):
    """`BAAI/bge-visualized`: "base" (English, 768 dimensions) or "m3" (multilingual, 1024); MIT.

    `path` is the released file, or a folder that holds it under its name; then `revision` does
    not count. `tokenizer` is a folder with the text model's tokenizer; without it the folder of
    `path` is used if it has one, else the hub's `BAAI/bge-base-en-v1.5` or `BAAI/bge-m3`.
    `architecture` is for weights of another size. Words are cut at 512 tokens (base; 316 beside
    a picture) or 8192 (m3; 7938).
    """

    def __init__(
        self,
        *,
        model: str = "base",
        path: str | os.PathLike[str] | None = None,
        tokenizer: str | os.PathLike[str] | None = None,
        revision: str = REVISION,
        architecture: Architecture | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        if model not in ARCHITECTURES:
            msg = f"model must be one of {', '.join(ARCHITECTURES)}, not {model!r}."
            raise ValueError(msg)
        self.model = model
        self.architecture = architecture or ARCHITECTURES[model]
        self.dimension = self.architecture.width
        self.path = None if path is None else Path(path)
        self.tokenizer = find_tokenizer(tokenizer, beside=self.path)
        self.release = Release(
            repository="BAAI/bge-visualized", revision=revision, required=(FILES[model],)
        )

    @cached_property
    def fingerprint(self) -> str:
        """Of local files the content counts, not the place."""
        origin = f"{self.release.name}:{self.model}"
        if self.path is not None:
            origin = f"visualized-bge:{digest_files([find_file(self.path, FILES[self.model])])}"
        words = TOKENIZERS[self.model].name
        if self.tokenizer is not None:
            words = digest_files(tokenizer_files(self.tokenizer))
        return f"{origin}/{words}/{PREPROCESSING}/{self.documents}/{self.dimension}"

    def _load(self, *, download: bool) -> Network:
        from mmsearch_app.embedders.visualized_bge.network import VisualizedEncoder, load

        folder = self.path or fetch(self.release, download=download)
        file = find_file(folder, FILES[self.model])
        texts = self.tokenizer or fetch(TOKENIZERS[self.model], download=download)
        network = load(self.architecture, read_checkpoint(file), origin=file)
        network.to(device=choose_device(self.device), dtype=choose_dtype(self.dtype))
        return VisualizedEncoder(network, Words(load_tokenizer(texts)))
