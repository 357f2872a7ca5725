"""Visualized BGE as an embedder: options, files, fingerprint."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Unpack, cast

from mmsearch_app.embedders.runtime import Network, TorchEmbedder, TorchOptions
from mmsearch_app.embedders.visualized_bge.architecture import BGE_ARCHITECTURES, BGEArchitecture
from mmsearch_app.inference import (
    Release,
    Tokenizer,
    WordTokenizer,
    digest_files,
    fetch,
    find_file,
    read_checkpoint,
    require_one_of,
    tokenizer_release,
)

__all__ = ["VisualizedBGE"]

_FILES = {"base": "Visualized_base_en_v1.5.pth", "m3": "Visualized_m3.pth"}
_REVISION = "98db10b10d22620010d06f11733346e1c98c34aa"
TOKENIZERS = {
    "base": tokenizer_release("BAAI/bge-base-en-v1.5", "a5beb1e3e68b9ab74eb54cfd186867f64f240e1a"),
    "m3": tokenizer_release("BAAI/bge-m3", "5617a9f61b028005a4858fdac845db406aefb181"),
}
_PREPROCESSING = "eva-clip-1"


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
        revision: str = _REVISION,
        architecture: BGEArchitecture | None = None,
        **options: Unpack[TorchOptions],
    ) -> None:
        super().__init__(**options)
        require_one_of("model", model, BGE_ARCHITECTURES)
        self.model = model
        self.architecture = architecture or BGE_ARCHITECTURES[model]
        self.dimension = self.architecture.width
        self.path = None if path is None else Path(path)
        self.tokenizer = Tokenizer.find(tokenizer, beside=self.path, release=TOKENIZERS[model])
        self.release = Release(
            repository="BAAI/bge-visualized", revision=revision, required=(_FILES[model],)
        )

    @property
    def fingerprint(self) -> str:
        """Of local files the content counts, not the place."""
        origin = f"{self.release.name}:{self.model}" if self.path is None else self._digest
        shown = self.documents
        return f"{origin}/{self._words}/{_PREPROCESSING}/{shown}/{self.dimension}"

    @cached_property
    def _digest(self) -> str:
        file = find_file(cast("Path", self.path), _FILES[self.model])
        return f"visualized-bge:{digest_files([file])}"

    @cached_property
    def _words(self) -> str:
        return self.tokenizer.name

    def _load(self, *, download: bool) -> Network:
        from mmsearch_app.embedders.visualized_bge.network import (
            VisualizedEncoder,
            load_visualized_bge,
        )

        folder = self.path or fetch(self.release, download=download)
        file = find_file(folder, _FILES[self.model])
        tokenizer = self.tokenizer.load(download=download)
        network = load_visualized_bge(self.architecture, read_checkpoint(file), origin=file)
        network.to(**self._placement())
        return VisualizedEncoder(network, WordTokenizer(tokenizer))
