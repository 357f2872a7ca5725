"""Helpers for tests of the starter embedder."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from example_shop.catalogue import Item, draw
from mmsearch_app.embedders.base import Embedder
from mmsearch_app.embedders.starter import weights
from mmsearch_app.inference.content import Content

PACKAGES = ("onnxruntime", "onnx", "tokenizers", *{part.package for part in weights.PINNED})
ABSENT = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
needs_weights = pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")

Rows = NDArray[np.float32]
Shop = tuple[list[Item], Rows]
KINDS = ("mug", "phone case", "hoodie", "cushion", "sunglasses")
SIDE = 160


def picture(item: Item, *, view: int = 0) -> Image.Image:
    return draw(item, view=view, size=SIDE)


def find(
    shop: Shop, embedder: Embedder, *, text: str | None = None, image: Any = None
) -> list[Item]:
    goods, rows = shop
    query = embedder.embed_queries([Content(text=text, image=image)])[0]
    return [goods[i] for i in np.argsort(-(rows @ query))]


def pick(goods: list[Item], **wanted: str) -> Item:
    return next(i for i in goods if all(getattr(i, k) == v for k, v in wanted.items()))
