"""Running a torch model in a process: loaded once, in batches, from several threads."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict, get_args

from PIL import Image

from mmsearch_app.inference import (
    Content,
    Precision,
    choose_device,
    choose_dtype,
    needing,
    require_at_least,
    require_one_of,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

__all__ = [
    "Documents",
    "Network",
    "TorchEmbedder",
    "TorchOptions",
]

Documents: TypeAlias = Literal["picture", "both"]

PIXEL_THREADS = min(8, os.cpu_count() or 1)
"""Pillow and torch let go of the interpreter's lock while they resize."""


class TorchOptions(TypedDict, total=False):
    """What every `TorchEmbedder` takes, explained there."""

    documents: Documents
    local_files_only: bool
    device: str
    dtype: Precision
    batch_size: int


class Network(Protocol):
    """A loaded model. Both methods are called from several threads and change nothing."""

    def prepare(self, image: Image.Image, /) -> NDArray[Any]:
        """A picture in the model's size, (height, width, 3); before normalisation."""
        ...

    def embed(
        self, pictures: Sequence[NDArray[Any]] | None, texts: Sequence[str] | None, /
    ) -> torch.Tensor:
        """Vectors of length 1, float32 (n, dimension); at least one of the two is given."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Contents of one kind that go through the model together."""

    places: tuple[int, ...]
    """Where their vectors belong in the result."""
    images: tuple[Image.Image, ...] | None
    texts: tuple[str, ...] | None


class TorchEmbedder(ABC):
    """What the embedders that run in this process share; a subclass names and loads a network.

    Nothing is loaded and torch is not imported before the first call or `warm_up`. The network
    loads once, under a lock; nobody sees it before it is complete, and a failed attempt is
    repeated by the next call. `embed_queries` never downloads anything: `embed_documents` and
    `warm_up` may, unless `local_files_only`.

    `device` is "auto" (the GPU if there is one) or a name that torch knows. `dtype` is that of
    the weights; vectors are float32 in any case and two precisions differ by rounding only, so
    it is no part of the fingerprint and a worker on a GPU may use another one than the shop.
    `documents` says what is embedded of a document with a picture: the "picture" alone, as the
    models were evaluated, or "both", composed with its title.
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
        self._lock = Lock()
        self._network: Network | None = None

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Model, revision or content of the weights, preprocessing, documents, dimension."""

    @property
    def settled(self) -> bool:
        """Whether the fingerprint will stay: that of a branch of the hub, once downloaded."""
        local, release = getattr(self, "path", None), getattr(self, "release", None)
        return local is not None or release is None or release.commit is not None

    @abstractmethod
    def _load(self, *, download: bool) -> Network:
        """Build the complete network. Raises MissingWeights or InvalidWeights."""

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Shape (n, dimension), float32, rows of length 1, in the order given."""
        shown = [self._shown(content) for content in contents]
        return self._embed(shown, download=not self.local_files_only)

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """The same; a picture with words is composed."""
        return self._embed(contents, download=False)

    def warm_up(self) -> None:
        """Download what is missing, load, and embed one of each kind once."""
        image = Image.new("RGB", (256, 256), "grey")
        kinds = [Content(text="a"), Content(image=image), Content(image=image, text="a")]
        self._embed(kinds, download=not self.local_files_only)

    def _placement(self) -> dict[str, Any]:
        """Where the network goes and how precise it is, as `Module.to` takes it."""
        return {"device": choose_device(self.device), "dtype": choose_dtype(self.dtype)}

    def _shown(self, content: Content) -> Content:
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
        import numpy as np

        vectors = np.empty((len(contents), self.dimension), dtype=np.float32)
        if not contents:
            return vectors
        network = self._loaded(download=download)
        batches = split(contents, self.batch_size)
        with ThreadPoolExecutor(PIXEL_THREADS) as pool, torch.inference_mode():
            for batch, pictures in _prepare_ahead(batches, network, pool):
                vectors[list(batch.places)] = network.embed(pictures, batch.texts).cpu().numpy()
        return vectors


def split(contents: Sequence[Content], size: int) -> Iterator[Batch]:
    """Batches of one kind each: words, pictures, both; texts of like length together.

    Blank words beside a picture count as none.
    """
    kinds: dict[tuple[bool, bool], list[int]] = {}
    for place, content in enumerate(contents):
        pictured = content.image is not None
        worded = bool(content.text and content.text.strip()) or not pictured
        kinds.setdefault((pictured, worded), []).append(place)
    for (pictured, worded), places in kinds.items():
        if worded:
            places.sort(key=lambda place: len(contents[place].text or ""))
        for start in range(0, len(places), size):
            chosen = places[start : start + size]
            images = tuple(i for p in chosen if (i := contents[p].image) is not None)
            texts = tuple(contents[p].text or "" for p in chosen)
            yield Batch(
                places=tuple(chosen),
                images=images if pictured else None,
                texts=texts if worded else None,
            )


def _prepare_ahead(
    batches: Iterator[Batch], network: Network, pool: ThreadPoolExecutor
) -> Iterator[tuple[Batch, list[NDArray[Any]] | None]]:
    """Each batch with its pictures prepared, while the model is busy with the one before."""
    waiting: deque[tuple[Batch, list[Future[NDArray[Any]]] | None]] = deque()
    for batch in batches:
        images = batch.images
        begun = None if images is None else [pool.submit(network.prepare, i) for i in images]
        waiting.append((batch, begun))
        if len(waiting) > 1:
            yield _finish(*waiting.popleft())
    while waiting:
        yield _finish(*waiting.popleft())


def _finish(
    batch: Batch, begun: list[Future[NDArray[Any]]] | None
) -> tuple[Batch, list[NDArray[Any]] | None]:
    return batch, None if begun is None else [future.result() for future in begun]
