"""A shop that tests fill as needed, and embedders and an index that fail on purpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
import pytest
from django.core.files.base import ContentFile
from numpy.typing import NDArray
from PIL import Image

from example_shop.models import Product, ProductImage
from mmsearch_app import Filter, ImageSource
from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexing.worker import Drained, drain
from mmsearch_app.inference.content import Content
from mmsearch_app.models import Entry
from mmsearch_app.testing import TestingEmbedder, registered
from tests.pictures import encode
from tests.shapes.models import Exhibition, Poster

COLOURS = {"red": (200, 20, 20), "green": (20, 160, 40), "blue": (20, 40, 200)}
IMAGES = "example_shop.productimage"

Sell = Callable[..., Product]
Catalogue = dict[str, Product]


def picture(colour: str = "red", *, side: int = 32, kind: str = "PNG") -> bytes:
    """An encoded image of one colour; a different `side` gives different bytes."""
    return encode(Image.new("RGB", (side, side), COLOURS.get(colour, colour)), kind)


def picture_file(colour: str = "red", *, side: int = 32) -> ContentFile[bytes]:
    return ContentFile(picture(colour, side=side), name=f"{colour}-{side}.png")


def add_picture(product: Product, colour: str = "red", *, side: int = 32) -> ProductImage:
    return ProductImage.objects.create(product=product, original=picture_file(colour, side=side))


@pytest.fixture
def sell(db: None) -> Sell:
    """Create a product: `sell("red mug")`, by default with one image in that colour."""

    def make(
        title: str = "red mug", *, colour: str | None = None, pictures: int = 1, **fields: Any
    ) -> Product:
        number = Product.objects.count()
        fields = {"sku": f"T-{number}", "slug": f"t-{number}", "price": 10 + number, **fields}
        product = Product.objects.create(title=title, **fields)
        for position in range(pictures):
            # Different bytes for every image, since equal ones count as the same image.
            side = 32 + 16 * (number % 20) + position
            add_picture(product, colour or title.split()[0], side=side)
        return product

    return make


@pytest.fixture
def shop(sell: Sell) -> dict[str, Product]:
    """Indexed mugs and shirts in three colours, priced 10 to 15, by title."""
    titles = [f"{colour} {kind}" for kind in ("mug", "shirt") for colour in COLOURS]
    products = {title: sell(title) for title in titles}
    work()
    return products


def work() -> Drained:
    """Drain the ledger; fails if there was a problem."""
    drained = drain()
    assert not drained.problem, drained
    return drained


def make_due() -> None:
    """Make entries that wait for another attempt due now."""
    from django.utils import timezone

    Entry.objects.filter(due_at__isnull=False).update(due_at=timezone.now())


def entry(row: Any) -> Entry:
    """The ledger entry of a row."""
    from mmsearch_app.sources.values import key_of

    return Entry.objects.get(source=row._meta.label_lower, object_pk=key_of(row.pk))


def held() -> list[str]:
    """The sorted ids in the live generation of the index."""
    live = get_index().live()
    return sorted(dict(get_index().contents(generation=live.name))) if live else []


class CountingEmbedder(TestingEmbedder):
    """Counts the documents and queries that it embeds."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.documents = 0
        self.queries = 0

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        self.documents += len(contents)
        return super().embed_documents(contents)

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        self.queries += len(contents)
        return super().embed_documents(contents)


class EmbedderWithMoods(CountingEmbedder):
    """Calls `before` ahead of each batch of documents, and fails for black images or if `down`."""

    before: Callable[[], object] | None = None
    down = False

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        if self.down:
            raise ConnectionError("the model server at 10.1.2.3 is down")
        if self.before:
            self.before()
        for content in contents:
            if content.image is not None and content.image.getpixel((0, 0)) == (0, 0, 0):
                raise RuntimeError("the model cannot embed this image")
        return super().embed_documents(contents)

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        if self.down:
            raise ConnectionError("the model server at 10.1.2.3 is down")
        return super().embed_queries(contents)


@pytest.fixture
def embedder(use: Callable[..., None]) -> EmbedderWithMoods:
    """The embedder in use, which can fail on purpose."""
    use(EMBEDDER={"BACKEND": "tests.shop.EmbedderWithMoods"})
    found = get_embedder()
    assert isinstance(found, EmbedderWithMoods)
    return found


@pytest.fixture
def small_batches(use: Callable[..., None]) -> None:
    """Embed two images per batch, with the embedder that can fail."""
    use(BATCH_SIZE=2, EMBEDDER={"BACKEND": "tests.shop.EmbedderWithMoods"})


class FickleIndex:
    """An index in memory that is unavailable while `down` is true."""

    def __new__(cls, **options: Any) -> Any:
        from mmsearch_app.indexes.base import IndexUnavailable
        from mmsearch_app.indexes.memory import MemoryIndex

        class Fickle(MemoryIndex):
            down = False

            def __getattribute__(self, name: str) -> Any:
                public = not name.startswith("_") and name not in (
                    "down",
                    "shared",
                    "durable",
                    "close",
                )
                if public and name in MemoryIndex.__dict__ and self.down:
                    raise IndexUnavailable("Milvus cannot be reached at https://secret@milvus")
                return super().__getattribute__(name)

        return Fickle(**options)


@pytest.fixture
def index(use: Callable[..., None]) -> Any:
    """The index in use; `index.down = True` makes it unavailable."""
    use(INDEX={"BACKEND": "tests.shop.FickleIndex"})
    return get_index()


class Detailed(ImageSource):
    name = "detailed"
    image = "picture"
    title = "name"
    filters: ClassVar = {
        "copies": "copies",
        "released": "released",
        "signed": "signed",
        "shade": Filter("shade", type=str),
        "label": "name",
        "exhibition": "exhibitions",
        "hung": "exhibitions.title",
    }


@pytest.fixture
def gallery(db: None) -> Any:
    """Posters: red (2001, signed), green (2002) and blue (2003), with 1, 2 and 3 copies."""
    with registered(Detailed(Poster)):
        shows = [Exhibition.objects.create(title=title) for title in ("Waves", "Sands")]
        posters = []
        for number, colour in enumerate(("red", "green", "blue"), start=1):
            poster = Poster.objects.create(
                name=f"{colour} sea",
                picture=picture_file(colour),
                copies=number,
                released=datetime(2000 + number, 6, 1, tzinfo=UTC),
                signed=number == 1,
            )
            poster.exhibitions.set(shows[: number - 1])
            posters.append(poster)
        work()
        yield posters
