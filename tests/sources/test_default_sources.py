"""A source that a reusable app registers gives way to the shop's own."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from example_shop.models import ProductImage
from mmsearch_app import ImageSource
from mmsearch_app.sources.registry import Registry
from tests.shapes.models import Poster


class Ready(ImageSource):
    image, product = "original", "product"


class Ours(Ready):
    title = "product.title"


@pytest.mark.parametrize("ours_first", [True, False])
def test_the_shops_own_source_replaces_the_default_of_its_model(*, ours_first: bool) -> None:
    registry, ours = Registry(), Ours(ProductImage)
    if ours_first:
        registry.add(ours)
    registry.add(Ready(ProductImage), default=True)
    registry.add(Ready(Poster), default=True)
    if not ours_first:
        registry.add(ours)
    assert sorted(map(type, registry), key=str) == [Ours, Ready]
    assert registry.of_model(ProductImage) == [ours]


def test_a_name_of_its_own_replaces_the_default_too() -> None:
    class Named(Ready):
        name = "gallery"

    registry = Registry()
    registry.add(Ready(ProductImage), default=True)
    registry.add(Named(ProductImage))
    assert [source.name for source in registry] == ["gallery"]


def test_two_sources_of_the_shop_still_need_two_names() -> None:
    registry = Registry()
    registry.add(Ready(ProductImage), default=True)
    registry.add(Ours(ProductImage))
    with pytest.raises(ImproperlyConfigured, match="Two image sources"):
        registry.add(Ready(ProductImage))
