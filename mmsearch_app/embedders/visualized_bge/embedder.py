"""Visualized BGE as an embedder: options, files, fingerprint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Unpack

from django.utils.functional import cached_property

from mmsearch_app.embedders.runtime import HubEmbedder, Network, TorchOptions
from mmsearch_app.embedders.visualized_bge.architecture import BGE_ARCHITECTURES, BGEArchitecture
from mmsearch_app.inference import (
    Release,
    Tokenizer,
    WordTokenizer,
    fetch,
    find_file,
    read_checkpoint,
    require_one_of,
    tokenizer_release,
)

_FILES = {"base": "Visualized_base_en_v1.5.pth", "m3": "Visualized_m3.pth"}
_REVISION = "98db10b10d22620010d06f11733346e1c98c34aa"
TOKENIZERS = {
    "base": tokenizer_release("BAAI/bge-base-en-v1.5", "a5beb1e3e68b9ab74eb54cfd186867f64f240e1a"),
    "m3": tokenizer_release("BAAI/bge-m3", "5617a9f61b028005a4858fdac845db406aefb181"),
}
_PREPROCESSING = "eva-clip-1"


class VisualizedBGE(HubEmbedder):
    """`BAAI/bge-visualized`: "base" (English, 768 dimensions) or "m3" (multilingual, 1024); MIT.

    `path` is the released file or its folder. `tokenizer` is a folder with the text model's
    tokenizer; the default is the folder of `path` if it has one, else the hub's
    `BAAI/bge-base-en-v1.5` or `BAAI/bge-m3`. `architecture` is for weights of another size.
    Texts are cut to 512 tokens (base; 316 beside an image) or 8192 (m3; 7938).
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
        require_one_of("model", model, BGE_ARCHITECTURES)
        release = Release(
            repository="BAAI/bge-visualized", revision=revision, required=(_FILES[model],)
        )
        super().__init__(path=path, release=release, **options)
        self.model = model
        self.architecture = architecture or BGE_ARCHITECTURES[model]
        self.dimension = self.architecture.width
        self.image_side = 2 * self.architecture.image_size
        self.tokenizer = Tokenizer.find(tokenizer, beside=self.path, release=TOKENIZERS[model])

    @property
    def fingerprint(self) -> str:
        origin = self._origin(local="visualized-bge:")
        if self.path is None:
            origin = f"{origin}:{self.model}"
        return f"{origin}/{self._words}/{_PREPROCESSING}/{self.documents}/{self.dimension}"

    def _files(self, path: Path) -> list[Path]:
        return [find_file(path, _FILES[self.model])]

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
