"""The admin page that explains why a product is found or not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from example_shop.models import Product
from mmsearch_app.indexes.base import IndexFault
from mmsearch_app.models import Entry, State
from mmsearch_app.testing import index_everything

from .conftest import count_queries, draw, entries_of

PAGE = "/admin/mmsearch_app/entry/inspect/"


def ask(client: Client, **question: Any) -> Any:
    response = client.post(PAGE, question)
    assert response.status_code == 200
    return response


def test_a_text_search_shows_hits_with_scores_and_entries(
    boss: Client, shop: list[Product]
) -> None:
    response = ask(boss, text="mug number 2")
    inspection = response.context["inspection"]
    scores = [finding.hit.score for finding in inspection.findings]
    assert [finding.position for finding in inspection.findings] == [1, 2, 3]
    assert scores == sorted(scores, reverse=True)
    best = inspection.findings[0]
    assert best.hit.product == shop[2]
    assert best.entry in entries_of(shop[2])
    page = response.content.decode()
    assert f"{best.hit.score:.4f}" in page
    assert f'href="/admin/mmsearch_app/entry/{best.entry.pk}/change/"' in page
    assert f'href="/admin/example_shop/product/{shop[2].pk}/change/"' in page
    assert "total" in page


def test_a_link_can_contain_the_question(boss: Client, shop: list[Product]) -> None:
    response = boss.get(PAGE, {"like": shop[0].pk})
    found = {finding.hit.product for finding in response.context["inspection"].findings}
    assert found == {shop[1], shop[2]}


def test_an_entry_links_to_a_search_for_similar_products(boss: Client, shop: list[Product]) -> None:
    entry = entries_of(shop[0])[0]
    page = boss.get(f"/admin/mmsearch_app/entry/{entry.pk}/change/").content.decode()
    link = f"{PAGE}?like=example_shop.product%3A{shop[0].pk}"
    assert f'href="{link}"' in page
    assert boss.get(link).context["inspection"].findings


def test_an_uploaded_image_is_kept_for_the_next_search(boss: Client, shop: list[Product]) -> None:
    picture = SimpleUploadedFile("mine.png", draw(10), "image/png")
    first = ask(boss, image=picture)
    assert first.context["inspection"].findings[0].hit.product == shop[1]
    assert f'src="{first.context["picture_url"]}"' in first.content.decode()
    second = ask(boss, query=first.context["token"], text="number")
    assert second.context["inspection"].answer.query.image is not None


def test_an_expired_image_is_reported_once(boss: Client, shop: list[Product]) -> None:
    response = ask(boss, query="forged", text="mug")
    assert response.context["inspection"] is None
    assert response.context["form"].non_field_errors()
    assert "forged" not in response.content.decode()


def test_filters_narrow_the_search(boss: Client, shop: list[Product]) -> None:
    response = ask(boss, text="mug", filters="price__lte=11")
    found = {finding.hit.product for finding in response.context["inspection"].findings}
    assert found == {shop[0], shop[1]}


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ({"text": "mug", "filters": "colour=red"}, "filters"),
        ({"text": "mug", "limit": "100000"}, "limit"),
        ({"like": "nothing"}, "like"),
        ({"image": SimpleUploadedFile("a.jpg", b"no picture")}, "image"),
        ({"text": "mug", "compare": "nothing"}, "compare"),
        ({"text": " "}, "__all__"),
    ],
)
def test_an_invalid_value_is_reported_at_its_field(
    boss: Client, shop: list[Product], question: dict[str, Any], field: str
) -> None:
    response = ask(boss, **question)
    assert list(response.context["form"].errors) == [field]


def test_it_shows_the_rank_of_a_product(boss: Client, shop: list[Product]) -> None:
    inspection = ask(boss, text="mug number 2", compare=shop[2].pk).context["inspection"]
    assert inspection.position == 1
    best = max(one.score for one in inspection.comparisons)
    assert best == pytest.approx(inspection.findings[0].hit.score, abs=1e-5)


def test_it_reports_that_a_product_is_not_public(boss: Client, shop: list[Product]) -> None:
    Product.objects.filter(pk=shop[2].pk).update(is_public=False)
    index_everything()
    response = ask(boss, text="mug number 2", compare=f"example_shop.product:{shop[2].pk}")
    inspection = response.context["inspection"]
    assert inspection.position is None
    assert [(one.public, one.score) for one in inspection.comparisons] == [(False, None)] * 2
    assert "not in the index" in response.content.decode()


def test_it_reports_an_image_that_is_not_in_the_ledger(boss: Client, shop: list[Product]) -> None:
    Entry.objects.filter(pk__in=[entry.pk for entry in entries_of(shop[2])]).delete()
    page = ask(boss, text="mug", compare=shop[2].pk).content.decode()
    assert page.count("unknown to the ledger") == 2


def test_it_shows_the_error_of_an_entry_escaped(boss: Client, shop: list[Product]) -> None:
    entry = entries_of(shop[2])[0]
    Entry.objects.filter(pk=entry.pk).update(state=State.FAILED, error="<b>x</b>")
    page = ask(boss, text="mug", compare=shop[2].pk).content.decode()
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x</b>" not in page


def test_titles_of_hits_are_escaped(boss: Client, sell: Callable[..., Product]) -> None:
    sell("<script>alert(1)</script> mug")
    index_everything()
    page = ask(boss, text="mug").content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page


def test_an_outage_is_reported_without_details(
    boss: Client, shop: list[Product], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise IndexFault("token=secret-123 refused")

    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr("mmsearch_app.indexes.memory.MemoryIndex.search", fail)
    page = ask(boss, text="mug").content.decode()
    assert "not available" in page
    assert "secret-123" not in page


def test_the_number_of_queries_does_not_grow_with_the_hits(
    boss: Client, shop: list[Product], sell: Callable[..., Product]
) -> None:
    ask(boss, text="mug")  # reads the floors of the scores, which are kept for a minute
    few = count_queries(lambda: ask(boss, text="mug"))
    for number in range(12):
        sell(f"mug {number}")
    index_everything()
    assert count_queries(lambda: ask(boss, text="mug")) == few


def test_it_needs_the_permission_to_see_entries(
    staff: Callable[..., Client], shop: list[Product]
) -> None:
    client = staff("mmsearch_app.view_entry")
    assert ask(client, text="mug").context["inspection"].findings
