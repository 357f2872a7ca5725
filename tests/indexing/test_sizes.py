"""How large the embedder gets the stored images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsearch_app import search
from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexing import files
from mmsearch_app.indexing.rebuild import rebuild_index
from mmsearch_app.indexing.worker import drain
from mmsearch_app.inference import Content
from mmsearch_app.testing import TestingEmbedder
from tests.shop import Sell, add_picture, held

pytestmark = pytest.mark.django_db(transaction=True)


class Looking(TestingEmbedder):
    """Notes the sizes of the images that it embeds, for the index and for searches."""

    def __init__(self, *, image_side: int | None = None) -> None:
        super().__init__()
        self.sizes: list[tuple[int, int]] = []
        self.calls: list[int] = []
        if image_side is not None:
            self.image_side = image_side

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        self.calls.append(len(contents))
        self.sizes += [content.image.size for content in contents if content.image]
        return super().embed_documents(contents)


@pytest.mark.parametrize(
    ("options", "size"), [({}, (1024, 1024)), ({"image_side": 100}, (100, 100))]
)
def test_stored_images_are_opened_as_large_as_the_embedder_needs(
    sell: Sell, use: Any, options: dict[str, int], size: tuple[int, int]
) -> None:
    use(EMBEDDER={"BACKEND": "tests.indexing.test_sizes.Looking", "OPTIONS": options})
    product = sell(pictures=0)
    add_picture(product, side=1200)
    assert drain().indexed == 1
    search("but in red", like=product)
    embedder: Any = get_embedder()
    assert embedder.sizes == [size, size]  # for the index, and for the search


@pytest.fixture
def room_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of four has room for two images of 100 × 100 pixels, which are read in turn."""
    monkeypatch.setattr(files, "_AVERAGE_PIXELS", 5_000)
    monkeypatch.setattr(files, "_READERS", 1)


@pytest.mark.usefixtures("room_for_two")
@pytest.mark.parametrize("work", [drain, rebuild_index])
def test_large_images_of_a_batch_are_embedded_a_few_at_a_time_and_written_together(
    sell: Sell, use: Any, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]
) -> None:
    use(EMBEDDER={"BACKEND": "tests.indexing.test_sizes.Looking"}, BATCH_SIZE=4)
    product = sell(pictures=0)
    for _ in range(3):
        add_picture(product, side=100)
    for _ in range(5):
        add_picture(product, side=10)
    index, written = get_index(), []
    upsert = index.upsert

    def note(records: Sequence[Any], **options: Any) -> None:
        written.append(len(records))
        upsert(records, **options)

    monkeypatch.setattr(index, "upsert", note)
    work()
    embedder: Any = get_embedder()
    assert (sorted(embedder.calls), written) == ([2, 2, 4], [4, 4])
    assert len(held()) == 8


@pytest.mark.usefixtures("room_for_two")
def test_each_image_of_a_batch_that_is_read_in_parts_has_its_own_outcome(
    sell: Sell, use: Any
) -> None:
    use(EMBEDDER={"BACKEND": "tests.shop.EmbedderWithMoods"}, BATCH_SIZE=4, MAX_ATTEMPTS=1)
    product = sell(pictures=0)
    rows = [add_picture(product, colour, side=150) for colour in ("red", "black", "red", "blue")]
    rows[2].original.delete(save=False)
    done = drain()
    assert (done.indexed, done.failed, done.skipped) == (2, 1, 1)
    assert len(held()) == 2
