"""A model of sentence-transformers as an embedder: options, files, fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from mmsearch_app.embedders.runtime import TorchEmbedder, TorchOptions, split
from mmsearch_app.embedders.sentence_transformers.encoder import (
    Encoder,
    Pooling,
    Role,
    load_encoder,
)
from mmsearch_app.inference import (
    Content,
    Release,
    digest_files,
    fetch,
    find_gap,
    require_origin,
    require_share,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

__all__ = ["SentenceTransformersEmbedder"]

_FILES = (
    "*.json",
    "*.safetensors",
    "*.txt",
    "*.model",
    "*.jinja",
    "[0-9]_*/pytorch_model.bin",  # small layers of older models, read without their code
)
_PREPROCESSING = "sentence-transformers-1"


class SentenceTransformersEmbedder(TorchEmbedder):
    """A model of the hub or, by `path`, of a folder; code that comes with a model is never run.

    `dimension` is the length of the model's vectors. With `truncate` a longer vector is cut to
    it, for models that were trained for that (Matryoshka). Some models, such as all of the Qwen-VL
    family and EmbeddingGemma 2, need torchvision besides the extra `models`.

    A picture with words goes through the model as one input where the model can take both. Where
    it cannot, as CLIP and SigLIP, the vector is the normalised sum of `image_weight` times the
    picture's and `1 - image_weight` times the words' unit vector (late fusion). A model of words
    alone embeds the words and does not see the picture: a document without words is then
    embedded as empty words, and a query without words raises ValueError.

    `query_prompt` and `document_prompt` replace those that the model brings along. `pooling`
    replaces how it makes one vector of many; a language model whose folder does not say it (it
    has no `modules.json`) takes its last token.
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
        super().__init__(**options)
        require_origin(model=model, path=path, example="sentence-transformers/clip-ViT-B-32")
        require_share(image_weight=image_weight)
        self.dimension = dimension
        self.path = None if path is None else Path(path)
        self.release = Release(repository=model, revision=revision, required=(), optional=_FILES)
        self.truncate = truncate
        self.prompts: dict[Role, str | None] = {"query": query_prompt, "document": document_prompt}
        self.image_weight = image_weight
        self.pooling: Pooling | None = pooling

    @property
    def fingerprint(self) -> str:
        """Of a folder the content counts, not the place."""
        origin = self.release.name if self.path is None else self._digest
        options = [self.truncate, self.prompts, self.image_weight, self.pooling]
        digest = hashlib.sha256(json.dumps(options).encode()).hexdigest()[:8]
        return f"{origin}/{_PREPROCESSING}/{digest}/{self.documents}/{self.dimension}"

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Shape (n, dimension), float32, rows of length 1, in the order given."""
        return self._embed(contents, download=not self.local_files_only, role="document")

    def warm_up(self) -> None:
        """Download what is missing, load, and embed one of each kind that the model knows."""
        download = not self.local_files_only
        if cast("Encoder", self._loaded(download=download)).sees:
            super().warm_up()
        else:
            self._embed([Content(text="a")], download=download)

    def _embed(
        self, contents: Sequence[Content], *, download: bool, role: Role = "query"
    ) -> NDArray[np.float32]:
        import numpy as np

        vectors = np.empty((len(contents), self.dimension), dtype=np.float32)
        if not contents:
            return vectors
        encoder = cast("Encoder", self._loaded(download=download))
        if role == "document" and encoder.sees:
            contents = [self._shown(content) for content in contents]
        for batch in split(contents, self.batch_size):
            found = encoder.encode(batch.images, batch.texts, role=role)
            vectors[list(batch.places)] = self._fit(found).cpu().numpy()
        return vectors

    def _fit(self, vectors: torch.Tensor) -> torch.Tensor:
        """Rows of length 1 and of the promised dimension."""
        from torch.nn.functional import normalize

        found = vectors.shape[1]
        if found != self.dimension and not (self.truncate and found > self.dimension):
            msg = f"The vectors of the model have {found} dimensions: set dimension={found}"
            more = (
                ", or truncate=True if it was trained for that." if found > self.dimension else "."
            )
            raise ValueError(msg + more)
        return normalize(vectors[:, : self.dimension], dim=1)

    @cached_property
    def _digest(self) -> str:
        return digest_files(_model_files(cast("Path", self.path)))

    def _load(self, *, download: bool) -> Any:
        """An Encoder rather than a Network: it must know queries from documents."""
        folder = self.path or fetch(
            self.release, download=download, complete=lambda found: not find_gap(found)
        )
        model = load_encoder(folder, device=self.device, dtype=self.dtype, pooling=self.pooling)
        return Encoder(model, prompts=self.prompts, image_weight=self.image_weight)


def _model_files(folder: Path) -> list[Path]:
    """What decides about the vectors, in a fixed order."""
    found = (file for pattern in _FILES for file in folder.rglob(pattern) if file.is_file())
    return sorted(set(found), key=lambda file: file.relative_to(folder).as_posix())
