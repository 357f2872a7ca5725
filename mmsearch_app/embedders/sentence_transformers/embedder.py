"""A model of sentence-transformers as an embedder: options, files, fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.embedders.runtime import HubEmbedder, TorchOptions, split
from mmsearch_app.embedders.sentence_transformers.encoder import (
    Encoder,
    Pooling,
    Role,
    load_encoder,
)
from mmsearch_app.inference import (
    Content,
    Release,
    fetch,
    find_folder,
    find_gap,
    require_origin,
    require_share,
)

if TYPE_CHECKING:
    import torch

_FILES = (
    "*.json",
    "*.safetensors",
    "*.txt",
    "*.model",
    "*.jinja",
    "[0-9]_*/pytorch_model.bin",  # small layers of older models, loaded without running their code
)
_PREPROCESSING = "sentence-transformers-2"


class SentenceTransformersEmbedder(HubEmbedder):
    """A model of the hub, or of a folder (`path`); code that comes with a model is never run.

    `path` may also be the file of weights in the folder.
    `dimension` is the length of the model's vectors. With `truncate`, longer vectors are cut to
    it, for models trained for that (Matryoshka). Some models, such as the Qwen-VL family and
    EmbeddingGemma 2, need torchvision besides the extra `models`.

    An image with a text goes through the model as one input if the model supports that. Otherwise,
    as with CLIP and SigLIP, the vector is the normalised sum of `image_weight` times the image's
    and `1 - image_weight` times the text's unit vector (late fusion). A text-only model ignores
    images: a document without a text is embedded as "", and a query without one raises ValueError.

    `query_prompt` and `document_prompt` replace the model's own prompts. `pooling` replaces how
    the model makes one vector of many; for a language model whose folder does not say how (it has
    no `modules.json`), the default is the last token.
    """

    def __init__(
        self,
        *,
        model: str = "",
        dimension: int,
        path: str | os.PathLike[str] | None = None,
        revision: str = "main",
        truncate: bool = False,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        image_weight: float = 0.5,
        pooling: Pooling | None = None,
        **options: Unpack[TorchOptions],
    ) -> None:
        require_origin(model=model, path=path, example="sentence-transformers/clip-ViT-B-32")
        require_share(image_weight=image_weight)
        release = Release(repository=model, revision=revision, required=(), optional=_FILES)
        folder = None if path is None else find_folder(Path(path))
        super().__init__(path=folder, release=release, **options)
        self.dimension = dimension
        self.truncate = truncate
        self.prompts: dict[Role, str | None] = {"query": query_prompt, "document": document_prompt}
        self.image_weight = image_weight
        self.pooling: Pooling | None = pooling

    @property
    def fingerprint(self) -> str:
        options = [self.truncate, self.prompts, self.image_weight, self.pooling]
        digest = hashlib.sha256(json.dumps(options).encode()).hexdigest()[:8]
        return f"{self._origin()}/{_PREPROCESSING}/{digest}/{self.documents}/{self.dimension}"

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        return self._embed(contents, download=not self.local_files_only, role="document")

    def warm_up(self) -> None:
        download = not self.local_files_only
        if self._encoder(download=download).sees:
            super().warm_up()
        else:
            self._embed([Content(text="a")], download=download)

    def _embed(
        self, contents: Sequence[Content], *, download: bool, role: Role = "query"
    ) -> NDArray[np.float32]:
        vectors = np.empty((len(contents), self.dimension), dtype=np.float32)
        if not contents:
            return vectors
        encoder = self._encoder(download=download)
        if role == "document" and encoder.sees:
            contents = [self._shown(content) for content in contents]
        for batch in split(contents, self.batch_size):
            found = encoder.encode(batch.images or None, batch.texts or None, role=role)
            vectors[list(batch.places)] = self._fit(found).cpu().numpy()
        return vectors

    def _fit(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return rows of length 1 and of the promised dimension."""
        from torch.nn.functional import normalize

        found = vectors.shape[1]
        if found < self.dimension or (found > self.dimension and not self.truncate):
            msg = f"The vectors of the model have {found} dimensions: set dimension={found}"
            if found > self.dimension:
                msg += ", or truncate=True if it was trained for that"
            raise ValueError(f"{msg}.")
        return normalize(vectors[:, : self.dimension], dim=1)

    def _files(self, path: Path) -> list[Path]:
        found = (file for pattern in _FILES for file in path.rglob(pattern) if file.is_file())
        return sorted(set(found), key=lambda file: file.relative_to(path).as_posix())

    def _encoder(self, *, download: bool) -> Encoder:
        return cast("Encoder", self._loaded(download=download))

    def _load(self, *, download: bool) -> Any:
        """Return an Encoder rather than a Network: it must tell queries from documents."""
        folder = self.path or fetch(
            self.release, download=download, complete=lambda found: not find_gap(found)
        )
        model = load_encoder(folder, device=self.device, dtype=self.dtype, pooling=self.pooling)
        return Encoder(model, prompts=self.prompts, image_weight=self.image_weight)
