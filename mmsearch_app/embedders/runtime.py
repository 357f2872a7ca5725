"""Embedders whose torch model runs in this process: loaded once, shared by threads, in batches."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict, Unpack, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsearch_app.inference import (
    Content,
    MissingWeights,
    Precision,
    Release,
    choose_device,
    choose_dtype,
    digest_files,
    needing,
    renew_after_fork,
    require_at_least,
    require_one_of,
)

if TYPE_CHECKING:
    import torch

Documents: TypeAlias = Literal["picture", "both"]

PIXEL_THREADS = min(8, os.cpu_count() or 1)
"""Threads that prepare images: Pillow and torch release the GIL while they resize."""


class TorchOptions(TypedDict, total=False):
    """The options of every `TorchEmbedder`, which explains them."""

    documents: Documents
    local_files_only: bool
    device: str
    dtype: Precision
    batch_size: int


class Network(Protocol):
    """A loaded model. Threads call both methods at the same time."""

    def prepare(self, image: Image.Image, /) -> NDArray[Any]:
        """Resize an image for the model: (height, width, 3), not normalised yet."""
        ...

    def embed(
        self, images: Sequence[NDArray[Any]] | None, texts: Sequence[str] | None, /
    ) -> torch.Tensor:
        """Return vectors of length 1, float32 (n, dimension), of images, texts, or pairs of both.

        `images` come from `prepare`. None means that the inputs have no image or no text; at
        least one of the two is given.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Contents of one kind that go through the model together."""

    places: tuple[int, ...]
    """The rows of the result that their vectors belong to."""
    images: tuple[Image.Image, ...]
    """Empty if these contents have no image."""
    texts: tuple[str, ...]
    """Empty if these contents have no text."""


class TorchEmbedder(ABC):
    """An embedder whose model runs in this process. A subclass names the model and loads it.

    Constructing one is cheap: the first call or `warm_up` imports torch and loads the model,
    once per process; if loading fails, the next call tries again. `embed_queries` never
    downloads anything. `embed_documents` and `warm_up` may, unless `local_files_only` is set.

    `device` is "auto" (the GPU if there is one) or a name that torch knows. `dtype` is the
    precision of the weights; vectors are always float32. The fingerprint does not contain it,
    because precisions differ by rounding only: a worker on a GPU may use another one than the
    shop. `documents` says what of a document with an image and a title is embedded: "picture",
    the image alone, as the models were evaluated, or "both".
    """

    dimension: int

    def __init__(
        self,
        *,
        documents: Documents = "picture",
        local_files_only: bool = False,
        device: str = "auto",
        dtype: Precision = "float32",
        batch_size: int = 32,
    ) -> None:
        require_one_of("documents", documents, get_args(Documents))
        require_one_of("dtype", dtype, get_args(Precision))
        require_at_least(1, batch_size=batch_size)
        self.documents = documents
        self.local_files_only = local_files_only
        self.device = device
        self.dtype = dtype
        self.batch_size = batch_size
        self._network: Network | None = None
        self._reset()
        renew_after_fork(self._reset)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Model, revision or content of the weights, preprocessing, `documents`, dimension."""

    @abstractmethod
    def _load(self, *, download: bool) -> Network:
        """Build the complete network. Raises MissingWeights or InvalidWeights."""

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        shown = [self._shown(content) for content in contents]
        return self._embed(shown, download=not self.local_files_only)

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        return self._embed(contents, download=False)

    def warm_up(self) -> None:
        """Download what is missing, load the model, and embed one content of each kind."""
        image = Image.new("RGB", (256, 256), "grey")
        kinds = [Content(text="a"), Content(image=image), Content(image=image, text="a")]
        self._embed(kinds, download=not self.local_files_only)

    def _reset(self) -> None:
        self._lock = Lock()

    def _placement(self) -> dict[str, Any]:
        """Return device and dtype as arguments of `torch.nn.Module.to`."""
        return {"device": choose_device(self.device), "dtype": choose_dtype(self.dtype)}

    def _shown(self, content: Content) -> Content:
        """Return what of a document is embedded."""
        if self.documents == "picture" and content.image is not None:
            return Content(image=content.image)
        return content

    def _loaded(self, *, download: bool) -> Network:
        if self._network is None:
            with self._lock:
                if self._network is None:
                    self._network = self._load(download=download)
        return self._network

    def _embed(self, contents: Sequence[Content], *, download: bool) -> NDArray[np.float32]:
        with needing("models"):
            import torch
        vectors = np.empty((len(contents), self.dimension), dtype=np.float32)
        if not contents:
            return vectors
        network = self._loaded(download=download)
        batches = split(contents, self.batch_size)
        with ThreadPoolExecutor(PIXEL_THREADS) as pool, torch.inference_mode():
            for batch, futures in _prepare_ahead(batches, network, pool):
                images = [future.result() for future in futures]
                found = network.embed(images or None, batch.texts or None)
                vectors[list(batch.places)] = found.cpu().numpy()
        return vectors


class HubEmbedder(TorchEmbedder):
    """A TorchEmbedder whose files are in a folder (`path`) or else a release on the hub.

    The fingerprint names a release by repository and commit, and local files by a digest of
    their content, wherever they are. If `path` is given, the release's revision does not count.
    """

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None,
        release: Release,
        **options: Unpack[TorchOptions],
    ) -> None:
        super().__init__(**options)
        self.path = None if path is None else Path(path)
        self.release = release
        self._digest: str | None = None

    @property
    def settled(self) -> bool:
        """Whether the fingerprint is final: that of a hub branch is, once it was downloaded."""
        return self.path is not None or self.release.commit is not None

    @abstractmethod
    def _files(self, path: Path) -> list[Path]:
        """Return the local files that determine the vectors, in a fixed order."""

    def _origin(self, *, local: str = "") -> str:
        """Return what names the weights in the fingerprint; `local` precedes a digest."""
        if self.path is None:
            return self.release.name
        if self._digest is None:
            self._digest = digest_files(self._files(self.path))
        return f"{local}{self._digest}"


def read_dimension(folder: Path, key: str) -> int:
    """Return a number of the folder's `config.json`. Raises MissingWeights."""
    file = folder / "config.json"
    if not file.is_file():
        msg = f"There is no file {file}; `path` must be a folder with the model's files."
        raise MissingWeights(msg)
    dimension: int = json.loads(file.read_text(encoding="utf-8"))[key]
    return dimension


def split(contents: Sequence[Content], size: int) -> Iterator[Batch]:
    """Split contents into batches of one kind each (texts, images, both), of at most `size`.

    Texts of similar length go together. A blank text beside an image counts as none.
    """
    kinds: dict[tuple[bool, bool], list[int]] = {}
    for place, content in enumerate(contents):
        with_image = content.image is not None
        with_text = not with_image or bool(content.text and content.text.strip())
        kinds.setdefault((with_image, with_text), []).append(place)
    for (_, with_text), places in kinds.items():
        if with_text:
            places.sort(key=lambda place: len(contents[place].text or ""))
        for start in range(0, len(places), size):
            batch = places[start : start + size]
            chosen = [contents[place] for place in batch]
            yield Batch(
                places=tuple(batch),
                images=tuple(c.image for c in chosen if c.image is not None),
                texts=tuple(c.text or "" for c in chosen) if with_text else (),
            )


def _prepare_ahead(
    batches: Iterator[Batch], network: Network, pool: ThreadPoolExecutor
) -> Iterator[tuple[Batch, list[Future[NDArray[Any]]]]]:
    """Yield each batch with its images being prepared, one batch ahead of the model."""
    previous = None
    for batch in batches:
        current = batch, [pool.submit(network.prepare, image) for image in batch.images]
        if previous is not None:
            yield previous
        previous = current
    if previous is not None:
        yield previous
