"""The right road: words, pictures and products in, products out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.files.base import ContentFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from PIL import Image

from example_shop.models import Product, ProductImage
from mmsearch_app import ImageSource, search
from mmsearch_app.conf import get_embedder, get_index
from mmsearch_app.models import Entry
from mmsearch_app.query import InvalidQuery, Query, SearchUnavailable
from mmsearch_app.searching import answer, build_query
from mmsearch_app.testing import registered
from tests.core.conftest import (
    EmbedderWithMoods,
    Sell,
    add_picture,
    picture,
    picture_file,
    work,
)
from tests.shapes.models import Garment, Media, Poster

pytestmark = pytest.mark.django_db

Catalogue = dict[str, Product]
ANY = "zzz"
"""Words that no title has: everything is equally far."""


def titles(found: Any) -> list[str]:
    return [hit.title for hit in found.hits]


def field_of(caught: pytest.ExceptionInfo[InvalidQuery]) -> str:
    assert str(caught.value).endswith(".")
    return caught.value.field


def test_words_find_the_title_that_has_them(shop: Catalogue) -> None:
    assert titles(search("red mug"))[0] == "red mug"


@pytest.mark.parametrize("form", ["bytes", "file", "django file", "image"])
def test_a_picture_in_any_form_finds_pictures_like_it(shop: Catalogue, form: str) -> None:
    data = picture("blue", side=200)
    given = {
        "bytes": data,
        "file": BytesIO(data),
        "django file": ContentFile(data),
        "image": Image.open(BytesIO(data)),
    }[form]
    assert {hit.title for hit in search(image=given, limit=2).hits} == {"blue mug", "blue shirt"}


def test_picture_and_words_together_find_what_has_both(shop: Catalogue) -> None:
    assert titles(search("shirt", image=picture("green")))[0] == "green shirt"


def test_a_product_without_words_finds_its_neighbours_and_never_itself(shop: Catalogue) -> None:
    found = titles(search(like=shop["red mug"]))
    assert "red mug" not in found
    assert len(found) == 5
    assert set(found[:3]) == {"red shirt", "green mug", "blue mug"}


def test_a_product_without_words_needs_no_model(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    embedder.down = True
    assert len(titles(search(like=shop["red mug"]))) == 5


def test_like_this_but_with_other_words(shop: Catalogue) -> None:
    assert titles(search("shirt", like=shop["red mug"]))[0] == "red shirt"


def test_a_given_picture_wins_over_the_products_own(shop: Catalogue) -> None:
    found = titles(search(image=picture("blue"), like=shop["red mug"]))
    assert set(found[:2]) == {"blue mug", "blue shirt"}
    assert "red mug" not in found


@pytest.mark.parametrize("how", ["pk", "text", "label"])
def test_a_product_may_be_named_by_its_key(shop: Catalogue, how: str) -> None:
    pk = shop["red mug"].pk
    like = {"pk": pk, "text": str(pk), "label": f"example_shop.product:{pk}"}[how]
    assert build_query(like=like).like == shop["red mug"]


@pytest.mark.parametrize("how", ["uuid", "text", "hex", "label"])
def test_a_product_may_be_named_by_a_uuid(how: str) -> None:
    poster = Poster.objects.create(name="sea", picture=picture_file())
    like = {
        "uuid": poster.pk,
        "text": str(poster.pk),
        "hex": poster.pk.hex,
        "label": f"shapes.poster:{poster.pk}",
    }[how]
    assert build_query(like=like).like == poster


def test_a_key_may_contain_a_colon() -> None:
    media = Media.objects.create(file=picture_file())
    coat = Garment.objects.create(code="size:xl", name="coat", photo=media)
    assert build_query(like="size:xl").like == coat
    assert build_query(like="shapes.garment:size:xl").like == coat


@pytest.mark.parametrize(
    "like", ["nope", "0", -1, 10**30, "a\0b", "\ud800", "shop.nope:1", "9" * 400]
)
def test_a_product_that_is_not_there_is_said_to_be_missing(shop: Catalogue, like: Any) -> None:
    with pytest.raises(InvalidQuery, match="There is no product") as caught:
        search(like=like)
    assert field_of(caught) == "like"


def test_a_hidden_product_cannot_be_named_by_its_key(shop: Catalogue) -> None:
    Product.objects.filter(pk=shop["red mug"].pk).update(is_public=False)
    with pytest.raises(InvalidQuery, match="There is no product"):
        search(like=shop["red mug"].pk)


def test_a_product_without_any_picture_is_no_start(sell: Sell, shop: Catalogue) -> None:
    with pytest.raises(InvalidQuery) as caught:
        search("blue", like=sell("black mug", pictures=0))
    assert field_of(caught) == "like"


def test_a_product_that_is_not_indexed_yet_is_looked_at(sell: Sell, shop: Catalogue) -> None:
    assert titles(search(like=sell("green lamp")))[0] in {"green mug", "green shirt"}


def test_unwanted_words_push_away(shop: Catalogue) -> None:
    assert titles(search("red mug"))[0] == "red mug"
    assert titles(search("red mug", without="red"))[0] != "red shirt"
    ranked = titles(search("mug", without="red"))
    assert set(ranked[:2]) == {"green mug", "blue mug"}


def test_what_cancels_itself_out_is_said_to(shop: Catalogue, use: Callable[..., None]) -> None:
    use(WITHOUT_WEIGHT=1.0)
    work_again()
    with pytest.raises(InvalidQuery, match="cancel each other out") as caught:
        search("red mug", without="red mug")
    assert field_of(caught) == "without"


def work_again() -> None:
    """Index everything in an index that a change of settings made empty."""
    from mmsearch_app import ledger

    ledger.retry(Entry.objects.all())
    work()


@pytest.mark.parametrize("question", [{}, {"text": "  "}, {"text": None}, {"without": "red"}])
def test_a_question_needs_something_to_go_by(shop: Catalogue, question: Any) -> None:
    with pytest.raises(InvalidQuery, match="Give a picture, words, or a product"):
        search(**question)


def test_words_have_a_limit(shop: Catalogue) -> None:
    assert search("x" * 500).hits
    with pytest.raises(InvalidQuery, match="At most 500 characters") as caught:
        search("x" * 501)
    assert field_of(caught) == "text"


def test_half_a_character_is_no_reason_to_fail(shop: Catalogue) -> None:
    assert titles(search("red mug \ud83d"))[0] == "red mug"
    assert titles(search("red\0mug"))[0] == "red mug"


@pytest.mark.parametrize(
    "image",
    [b"", b"not a picture", b"%!PS-Adobe-3.0 EPSF-3.0\n", "/etc/passwd", "http://a.b/c.png"],
)
def test_what_is_no_picture_is_refused_with_a_sentence(shop: Catalogue, image: Any) -> None:
    with pytest.raises(InvalidQuery) as caught:
        search(image=image)
    assert field_of(caught) == "image"


@pytest.mark.parametrize(
    "words", ["http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "/etc/passwd"]
)
def test_words_that_look_like_an_address_open_nothing(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something was opened")

    index = get_index()
    assert index.live()
    for name in ("socket.socket", "builtins.open"):
        monkeypatch.setattr(name, refuse)
    found = search(words, without=words + "?")
    monkeypatch.undo()
    assert len(found.hits) == 6


@pytest.mark.parametrize("limit", [0, -1, 101, "5", 2.0, True, 10**30])
def test_a_limit_out_of_range_is_refused(shop: Catalogue, limit: Any) -> None:
    with pytest.raises(InvalidQuery, match="limit must be a whole number from 1 to 100") as caught:
        search(ANY, limit=limit)
    assert field_of(caught) == "limit"


@pytest.mark.parametrize("offset", [-1, 1001, "5", 1.5])
def test_an_offset_out_of_range_is_refused(shop: Catalogue, offset: Any) -> None:
    with pytest.raises(InvalidQuery, match="from 0 to 1000"):
        search(ANY, offset=offset)


def test_pages_do_not_overlap_and_leave_nothing_out(shop: Catalogue) -> None:
    pages = [search("red mug", limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [title for page in pages for title in titles(page)] == titles(search("red mug"))
    assert [page.more for page in pages] == [True, True, False]


def test_a_page_behind_the_last_is_empty(shop: Catalogue) -> None:
    found = search(ANY, offset=100)
    assert (found.hits, found.more) == ((), False)


def test_a_product_with_many_pictures_is_one_hit_by_its_best(sell: Sell) -> None:
    product = sell("red mug", pictures=0)
    for colour in ("red", "green", "blue"):
        add_picture(product, colour)
    sell("blue lamp")
    work()
    found = search(image=picture("green", side=99))
    assert sorted(titles(found)) == ["blue lamp", "red mug"]
    best = found.hits[0]
    assert best.image == product.images.all()[1]
    assert best.product == product


def test_a_hit_says_where_it_is_sold_and_shown(shop: Catalogue) -> None:
    hit = search("red mug", limit=1).hits[0]
    image = shop["red mug"].images.get()
    assert hit.product == shop["red mug"]
    assert hit.image == image
    assert hit.url == shop["red mug"].get_absolute_url()
    assert hit.image_url == image.original.url
    assert hit.source == "example_shop.productimage"
    assert -1 <= hit.score <= 1


def test_an_answer_says_how_long_each_stage_took(shop: Catalogue) -> None:
    found = search("red mug")
    assert set(found.timings) >= {"embed", "search", "total"}
    assert found.ranked_by == "index"
    assert found.query is not None
    assert found.query.text == "red mug"


def test_a_bad_match_is_said_to_be_one(shop: Catalogue, use: Callable[..., None]) -> None:
    use(MIN_SCORE=0.5)
    work_again()
    assert search(ANY).no_good_match
    assert not search("red mug").no_good_match


def test_an_empty_shop_answers_with_nothing_and_no_good_match(sell: Sell) -> None:
    sell().delete()
    work()
    found = search("mug")
    assert (found.hits, found.no_good_match) == ((), True)


def test_a_shop_that_never_indexed_anything_says_so(db: None) -> None:
    with pytest.raises(SearchUnavailable, match="not built yet"):
        search("mug")


@pytest.mark.parametrize("change", ["delete", "hide", "hide the picture's product by update"])
def test_what_the_shop_no_longer_shows_is_not_found_before_any_worker_ran(
    shop: Catalogue, change: str
) -> None:
    mug = shop["red mug"]
    if change == "delete":
        mug.delete()
    elif change == "hide":
        mug.is_public = False
        mug.save()
    else:
        Product.objects.filter(pk=mug.pk).update(is_public=False)
    found = titles(search("red mug"))
    assert "red mug" not in found
    assert len(found) == 5


def test_a_page_is_filled_up_when_most_candidates_are_hidden(sell: Sell) -> None:
    for number in range(40):
        sell(f"red mug {number}", colour="red")
    kept = [sell(f"blue lamp {number}", colour="blue") for number in range(3)]
    work()
    Product.objects.exclude(pk__in=[product.pk for product in kept]).update(is_public=False)
    assert len(search("red mug", image=picture("red"), limit=3).hits) == 3


def test_the_picture_that_another_product_shares_is_dropped_for_the_reference(sell: Sell) -> None:
    same = picture_file("red")
    first, twin = sell("red mug", pictures=0), sell("crimson cup", pictures=0)
    for product in (first, twin):
        ProductImage.objects.create(product=product, original=ContentFile(same.read(), "a.png"))
        same.seek(0)
    sell("green mug")
    work()
    assert titles(search(like=first)) == ["green mug"]
    assert len(titles(search(image=picture("red")))) == 3


class Restricted(ImageSource):
    name = "restricted"
    image = "picture"
    title = "name"

    def visible_to(self, queryset: Any, user: Any) -> Any:
        return queryset if user is not None and user.is_staff else queryset.filter(signed=False)


def test_what_a_user_may_not_see_is_not_found_by_that_user() -> None:
    from mmsearch_app.sources import registry

    ordinary = registry.get("shapes.poster")
    registry.remove("shapes.poster")
    try:
        with registered(Restricted(Poster)):
            for name, signed in (("red sea", True), ("blue sea", False)):
                file = picture_file(name.split()[0])
                Poster.objects.create(name=name, picture=file, signed=signed)
            work()
            staff = User(is_staff=True)
            assert len(search("sea", user=staff).hits) == 2
            assert titles(search("sea", user=AnonymousUser())) == ["blue sea"]
            assert titles(search("sea")) == ["blue sea"]
            hidden = Poster.objects.get(signed=True)
            with pytest.raises(InvalidQuery, match="There is no product"):
                search(like=hidden.pk)
            assert titles(search(like=hidden.pk, user=staff)) == ["blue sea"]
    finally:
        registry.add(ordinary)


def test_products_of_all_models_are_found_together(shop: Catalogue) -> None:
    Poster.objects.create(name="red poster", picture=picture_file("red"))
    media = Media.objects.create(file=picture_file("red", side=48))
    Garment.objects.create(code="c", name="red coat", photo=media)
    work()
    found = search("red", limit=4)
    assert {type(hit.product) for hit in found.hits} == {Product, Poster, Garment}


def test_equal_keys_of_two_models_are_two_products(sell: Sell) -> None:
    product = sell("red mug")
    media = Media.objects.create(file=picture_file("red"))
    Garment.objects.create(code=str(product.pk), name="red coat", photo=media)
    work()
    assert sorted(titles(search("red"))) == ["red coat", "red mug"]


class FirstView(ImageSource):
    name = "first-view"
    image = "original"
    product = "product"
    title = "product.title"


def test_two_sources_of_one_model_show_a_product_once(shop: Catalogue) -> None:
    with registered(FirstView(ProductImage)):
        from mmsearch_app.testing import index_everything

        index_everything()
        assert len(search("mug").hits) == 6


def test_the_number_of_queries_does_not_depend_on_the_number_of_results(
    shop: Catalogue, sell: Sell
) -> None:
    def count(limit: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert len(search("mug", limit=limit).hits) == limit
        return len(queries)

    for number in range(20):
        sell(f"red mug {number}")
    work()
    assert count(1) == count(20) <= 3


def test_an_index_that_is_away_is_no_detail_for_visitors(index: Any, shop: Catalogue) -> None:
    index.away = True
    with pytest.raises(SearchUnavailable) as caught:
        search("mug")
    assert "secret" not in str(caught.value)
    assert caught.value.retry_after > 0


def test_a_model_that_is_away_is_no_detail_for_visitors(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    embedder.down = True
    with pytest.raises(SearchUnavailable) as caught:
        search("mug")
    assert "10.1.2.3" not in str(caught.value)


@pytest.mark.parametrize("fault", ["shape", "nan", "nothing"])
def test_a_model_that_breaks_its_contract_makes_no_answer(
    embedder: EmbedderWithMoods, shop: Catalogue, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def spoil(contents: Any) -> Any:
        whole = embedder.embed_documents(contents)
        return {"shape": whole[:, :-1], "nan": whole * np.nan, "nothing": whole[:0]}[fault]

    monkeypatch.setattr(embedder, "embed_queries", spoil)
    with pytest.raises(SearchUnavailable):
        search("mug")


def test_more_searches_than_places_are_told_to_wait(
    shop: Catalogue, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmsearch_app import searching

    monkeypatch.setattr(searching, "_QUEUE_SECONDS", 0.05)
    use(MAX_CONCURRENT_SEARCHES=3)
    work_again()
    inside, done = threading.Barrier(4), threading.Event()

    def occupy() -> None:
        with searching._place():
            inside.wait(10)
            done.wait(10)

    threads = [threading.Thread(target=occupy) for _ in range(3)]
    for thread in threads:
        thread.start()
    inside.wait(10)
    try:
        with pytest.raises(SearchUnavailable, match="Too many searches"):
            search("mug")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert search("mug").hits


def test_a_search_that_fails_gives_its_place_back(
    shop: Catalogue, use: Callable[..., None], embedder: EmbedderWithMoods
) -> None:
    use(MAX_CONCURRENT_SEARCHES=1)
    for _ in range(3):
        with pytest.raises(SearchUnavailable, match="not built"):
            search("mug")
    work_again()
    assert search("mug").hits


def test_a_checked_query_can_be_answered_again(shop: Catalogue) -> None:
    query = build_query(text="red mug", limit=2)
    assert isinstance(query, Query)
    assert titles(answer(query)) == titles(answer(query)) == titles(search("red mug", limit=2))


def test_a_vector_that_is_known_already_is_not_made_again(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    first = search("red mug", limit=2)
    before = embedder.queries
    assert first.query is not None
    assert titles(answer(first.query)) == titles(first)
    assert embedder.queries == before
    assert get_embedder() is embedder
