"""Registration of sources, and dotted paths."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured

import mmsearch_app
from example_shop.models import Product, ProductImage
from mmsearch_app import ImageSource, register
from mmsearch_app.sources import paths
from mmsearch_app.sources.registry import registry
from mmsearch_app.testing import registered
from tests.shapes.gadgets import Note
from tests.shapes.models import Attachment, CheapPoster, FramedPoster, Garment, Poster
from tests.shop import Sell, picture_file


def test_all_public_names_exist() -> None:
    for name in mmsearch_app.__all__:
        assert getattr(mmsearch_app, name)
        assert name in dir(mmsearch_app)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = mmsearch_app.nope


def test_a_name_can_be_registered_once() -> None:
    class Again(ImageSource):
        image = "picture"

    with pytest.raises(ImproperlyConfigured, match="give one a `name` of its own"):
        register("shapes.Poster")(Again)


@pytest.mark.parametrize("name", ["a:b", "x" * 101])
def test_a_name_that_cannot_be_part_of_an_id_is_refused(name: str) -> None:
    source = type("Named", (ImageSource,), {"name": name, "image": "picture"})
    with pytest.raises(ImproperlyConfigured, match="at most 100 characters, without ':'"):
        register(Poster)(source)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("shapes.Nope", "App 'shapes' doesn't have a 'Nope' model"),
        ("nope.Poster", "No installed app with label 'nope'"),
        ("Poster", "a model is named by a label such as 'catalogue.Product'"),
        (None, "a model is named by a label such as 'catalogue.Product'"),
        (ImageSource, "a model is named by a label such as 'catalogue.Product'"),
    ],
)
def test_a_model_that_does_not_exist_is_refused(model: Any, why: str) -> None:
    said = re.escape(f"register({model!r}): {why}")
    with pytest.raises(ImproperlyConfigured, match=said):
        register(model)(ImageSource)


def test_a_source_whose_signals_cannot_be_connected_is_not_kept() -> None:
    class Broken(ImageSource):
        name = "broken"
        depends_on: ClassVar[Any] = None

    with pytest.raises(AttributeError), registered(Broken(Poster)):
        pass
    assert "broken" not in registry


def test_an_unknown_source_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(KeyError, match=r"No image source is called 'nope'; there are \["):
        registry.get("nope")


def test_subclasses_and_proxies_belong_to_the_source_of_their_parent() -> None:
    posters = registry.get("shapes.poster")
    for model in (Poster, FramedPoster, CheapPoster):
        assert registry.of_model(model) == [posters]
    assert registry.of_model(Product) == []


def test_a_proxy_is_the_same_product_as_its_model(db: None) -> None:
    poster = Poster.objects.create(name="sea", picture=picture_file())
    cheap = CheapPoster.objects.get(pk=poster.pk)
    assert registry.keys_of(cheap) == registry.keys_of(poster) == (f"shapes.poster:{poster.pk}",)
    assert registry.get("shapes.poster").shows(cheap)


def test_a_row_of_a_subclass_is_the_same_product_as_that_of_its_parent(db: None) -> None:
    framed = FramedPoster.objects.create(name="sea", frame="oak", picture=picture_file())
    assert registry.keys_of(framed) == (f"shapes.poster:{framed.pk}",)
    assert list(registry.get("shapes.poster").rows_of(framed)) == [Poster.objects.get(pk=framed.pk)]


def test_a_row_of_no_source_has_no_key(sell: Sell) -> None:
    assert registry.keys_of(sell("red mug").images.get()) == ()


def test_paths_follow_fields_relations_properties_and_methods(sell: Sell) -> None:
    product = sell("red mug")
    image = product.images.get()
    read = {
        "product.title": ["red mug"],
        "product.cover.pk": [image.pk],
        "product.get_absolute_url": [product.get_absolute_url()],
        "product.categories.name": [],
        "product.images.pk": [image.pk],
    }
    assert {path: list(paths.read(image, path)) for path in read} == read


@pytest.mark.parametrize("path", ["product.delete", "product.save", "delete"])
def test_no_path_calls_a_method_that_changes_data(path: str, sell: Sell) -> None:
    image = sell().images.get()
    assert list(paths.read(image, path)) == []
    assert type(image).objects.filter(pk=image.pk).exists()


def test_an_empty_link_ends_a_path_with_nothing(db: None) -> None:
    attachment = Attachment.objects.create()
    assert list(paths.read(attachment, "garment.name")) == []
    assert list(paths.read(attachment, "garment.photo.file")) == []


def test_a_missing_one_to_one_row_ends_a_path_with_nothing(db: None) -> None:
    poster = Poster.objects.create(name="sea")
    assert list(paths.read(poster, "framedposter.frame")) == []


def test_a_path_determines_joins_and_prefetches() -> None:
    def facts(model: Any, dotted: str) -> tuple[Any, ...]:
        path = paths.resolve(model, dotted)
        return path.lookup, path.to_one, path.to_many

    assert facts(ProductImage, "product.title") == ("product__title", "product", "")
    assert facts(ProductImage, "product.categories.slug") == (
        "product__categories__slug", "product", "product__categories",
    )  # fmt: skip
    assert facts(Product, "images.original") == ("images__original", "", "images")
    assert facts(Garment, "attachment_set.upload") == (
        "attachment__upload", "", "attachment_set",
    )  # fmt: skip
    assert facts(Poster, "shade") == (None, "", "")


def test_a_generic_foreign_key_is_read_and_never_joined(db: None) -> None:
    path = paths.resolve(Note, "about.name")
    assert (path.lookup, path.to_one, path.field) == (None, "", None)
    poster = Poster.objects.create(name="sea")
    note = Note(kind=ContentType.objects.get_for_model(Poster), key=str(poster.pk))
    assert list(paths.read(note, "about.name")) == ["sea"]


class Everything(ImageSource):
    name = "everything"
    image = "original"
    product = "product"
    filters: ClassVar = {"category": "product.categories"}


def test_rows_are_fetched_with_everything_the_paths_need(
    sell: Sell, django_assert_num_queries: Any
) -> None:
    for number in range(5):
        sell(f"red mug {number}")
    with registered(Everything(ProductImage)) as source, django_assert_num_queries(2):
        for row in source.fetch():
            assert source.get_product(row) is not None
            assert source.get_filters(row) == {"category": []}


def test_invalid_keys_are_skipped() -> None:
    assert registry.get("example_shop.productimage").valid_keys(["1", "x", "2"]) == [1, 2]
    assert registry.get("shapes.poster").valid_keys(["1", "not a uuid"]) == []
