"""A product with an image that may not be shown is still found by its other images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from PIL import Image

from example_shop.models import Product, ProductImage
from mmsearch_app import search
from mmsearch_app.backends import get_index
from mmsearch_app.indexes.base import Match
from mmsearch_app.indexes.memory import MemoryIndex
from tests.pictures import encode
from tests.shop import COLOURS, Catalogue, Sell, add_picture, picture, picture_file, work
from tests.shop_kit import titles

pytestmark = pytest.mark.django_db

SOURCE = "example_shop.mmsearch.ProductImages"
Hide = Callable[..., None]


class CountingIndex(MemoryIndex):
    """Records how many products each search asks for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[int] = []

    def search(self, *args: Any, **options: Any) -> list[Match]:
        self.asked.append(options["limit"])
        return super().search(*args, **options)


@pytest.fixture(autouse=True)
def index(use: Callable[..., None]) -> CountingIndex:
    use(INDEX={"BACKEND": f"{__name__}.CountingIndex"})
    found = get_index()
    assert isinstance(found, CountingIndex)
    return found


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Hide:
    """Exclude these images from the source's queryset, without a signal."""

    def act(*images: ProductImage) -> None:
        hidden = [image.pk for image in images]
        monkeypatch.setattr(
            f"{SOURCE}.get_queryset", lambda source: ProductImage.objects.exclude(pk__in=hidden)
        )

    return act


def offer(sell: Sell, title: str, *reds: float) -> list[ProductImage]:
    """Create a product with an image per share of red (0 to 1), the rest of which is blue."""
    product = sell(title, pictures=0)
    return [
        ProductImage.objects.create(product=product, original=paint(red, side=16 * (n + 1)))
        for n, red in enumerate(reds, start=3 * Product.objects.count())
    ]


def paint(red: float, *, side: int) -> ContentFile[bytes]:
    image = Image.new("RGB", (side, side), COLOURS["blue"])
    image.paste(COLOURS["red"], (0, 0, round(red * side), side))
    return ContentFile(encode(image, "PNG"), name=f"{red}-{side}.png")


def ask(**options: Any) -> Sequence[Any]:
    """The hits for "red"."""
    return search(image=picture("red", side=200), **options).hits


def test_another_image_shows_the_product_at_the_rank_of_that_image(sell: Sell, hide: Hide) -> None:
    red, blue = offer(sell, "mug", 1, 0.25)
    offer(sell, "cup", 0.5)
    work()
    assert [hit.title for hit in ask()] == ["mug", "cup"]
    hide(red)
    cup, mug = ask()
    assert (cup.title, mug.title, mug.image) == ("cup", "mug", blue)
    assert cup.score > mug.score


def test_an_answer_with_second_choices_is_still_ordered_by_score(sell: Sell, hide: Hide) -> None:
    stale = [offer(sell, f"mug {n}", 1, 0.9 - n / 8, 0)[0] for n in range(6)]
    for n in range(6):
        offer(sell, f"cup {n}", 0.95 - n / 8)
    work()
    hide(*stale)
    assert [hit.title for hit in ask()] == [
        f"{kind} {n}" for n in range(6) for kind in ("cup", "mug")
    ]


def test_an_image_that_is_second_best_twice_over_is_found(sell: Sell, hide: Hide) -> None:
    *stale, last = offer(sell, "mug", 1, 0.75, 0.5)
    offer(sell, "cup", 0.25)
    work()
    hide(*stale)
    assert last in [hit.image for hit in ask()]


def test_an_image_deleted_and_replaced_before_any_worker_ran(sell: Sell) -> None:
    red, blue = offer(sell, "mug", 1, 0.25)
    offer(sell, "cup", 0.5)
    work()
    red.delete()
    add_picture(red.product, "red", side=300)
    assert blue in [hit.image for hit in ask()]


def test_a_row_that_lost_its_image_is_not_a_hit(sell: Sell) -> None:
    red, blue = offer(sell, "mug", 1, 0.25)
    (only,) = offer(sell, "cup", 1)
    work()
    ProductImage.objects.filter(pk__in=[red.pk, only.pk]).update(original="")
    assert [hit.image for hit in ask()] == [blue]


def test_a_product_is_found_even_if_the_user_may_not_see_one_of_its_images(
    sell: Sell, monkeypatch: pytest.MonkeyPatch
) -> None:
    red, blue = offer(sell, "mug", 1, 0.25)
    work()

    def visible_to(source: Any, rows: Any, user: Any) -> Any:
        return rows if user == "staff" else rows.exclude(pk=red.pk)

    monkeypatch.setattr(f"{SOURCE}.visible_to", visible_to)
    assert [hit.image for hit in ask(user="staff")] == [red]
    assert [hit.image for hit in ask()] == [blue]


def test_an_image_moved_to_another_product_leaves_the_old_product_findable(sell: Sell) -> None:
    red, blue = offer(sell, "mug", 1, 0.25)
    (half,) = offer(sell, "cup", 0.5)
    work()
    ProductImage.objects.filter(pk=red.pk).update(product=half.product)
    hits = {hit.title: hit.image for hit in ask()}
    assert hits == {"cup": red, "mug": blue}


def test_filters_apply_to_second_choices(sell: Sell, hide: Hide) -> None:
    red, _blue = offer(sell, "mug", 1, 0.25)
    offer(sell, "cup", 0.5)
    work()
    hide(red)
    assert [hit.title for hit in ask(filters={"price__lte": 10})] == ["mug"]


def test_if_all_hits_may_be_shown_the_index_is_searched_once(
    shop: Catalogue, index: CountingIndex
) -> None:
    assert len(search("mug", limit=3).hits) == 3
    assert len(index.asked) == 1


def test_second_choices_take_one_extra_search_and_one_extra_query(
    sell: Sell, hide: Hide, index: CountingIndex
) -> None:
    red, *_ = offer(sell, "mug", 1, 0.25)
    for n in range(12):
        offer(sell, f"cup {n}", 0)
    work()
    hide()
    with CaptureQueriesContext(connection) as before:
        ask(limit=3)
    index.asked.clear()
    hide(red)
    with CaptureQueriesContext(connection) as after:
        ask(limit=3)
    assert len(index.asked) == 2
    assert index.asked[1] == 1
    assert len(after) - len(before) <= 2, "the rows, and their categories"


@pytest.mark.parametrize("pictures", [3, 30])
def test_a_product_with_nothing_to_show_takes_at_most_three_searches(
    sell: Sell, hide: Hide, index: CountingIndex, pictures: int
) -> None:
    hide(*offer(sell, "mug", *[1] * pictures))
    for n in range(20):
        offer(sell, f"cup {n}", 0)
    work()
    index.asked.clear()
    hide(*ProductImage.objects.filter(product__title="mug"))
    assert len(ask(limit=3)) == 3
    assert len(index.asked) <= 3


def test_a_shop_that_hides_everything_takes_few_searches(
    sell: Sell, hide: Hide, index: CountingIndex
) -> None:
    for n in range(15):
        offer(sell, f"mug {n}", 1, 0.75, 0.5, 0.25)
    work()
    hide(*ProductImage.objects.all())
    assert ask(limit=3) == ()
    assert len(index.asked) <= 6


def test_a_near_duplicate_of_the_reference_gets_no_second_choice(sell: Sell, hide: Hide) -> None:
    """It shows the image that the visitor started from, so its other images do not matter."""
    same = picture("red", side=99)
    reference, twin = sell("mug", pictures=0), sell("twin", pictures=0)
    for product in (reference, twin):
        ProductImage.objects.create(product=product, original=ContentFile(same, "same.png"))
    add_picture(twin, "blue", side=77)
    stale, shown = offer(sell, "cup", 1, 0.5)
    work()
    assert titles(search(like=reference)) == ["cup"]
    hide(stale)
    assert [hit.image for hit in search(like=reference).hits] == [shown]


def test_a_duplicate_with_a_better_image_is_shown_by_that_image(sell: Sell) -> None:
    reference, twin = sell("red mug", pictures=0), sell("blue cup", pictures=0)
    for product in (reference, twin):
        file = picture_file("red", side=99)
        ProductImage.objects.create(product=product, original=file)
    other = add_picture(twin, "blue", side=77)
    work()
    hits = search("blue", image=picture("blue", side=200), like=reference).hits
    assert [hit.image for hit in hits] == [other]
