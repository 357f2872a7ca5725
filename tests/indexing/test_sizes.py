"""How large the embedder gets the stored images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsearch_app import search
from mmsearch_app.backends import get_embedder
from mmsearch_app.indexing.worker import drain
from mmsearch_app.inference import Content
from mmsearch_app.testing import TestingEmbedder
from tests.shop import Sell, add_picture

pytestmark = pytest.mark.django_db(transaction=True)


class Looking(TestingEmbedder):
    """Notes the sizes of the images that it embeds, for the index and for searches."""

    def __init__(self, *, image_side: int | None = None) -> None:
        super().__init__()
        self.sizes: list[tuple[int, int]] = []
        if image_side is not None:
            self.image_side = image_side

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
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
