"""`mmsearch_check` passes for a healthy shop, whatever its rows, and reports what fails."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.management import CommandError, call_command

from example_shop.models import Product, ProductImage
from mmsearch_app.inference.content import Content
from mmsearch_app.rerankers.base import Ranking
from tests.searching.reranking.chat_server import chatting, pictures, say
from tests.shop import Sell, add_picture

pytestmark = pytest.mark.django_db


def look(part: str = "storage") -> str:
    """The command's line about a part, whether it fails or not."""
    output = io.StringIO()
    with suppress(CommandError):
        call_command("mmsearch_check", stdout=output)
    lines = output.getvalue().splitlines()
    (line,) = [line for line in lines if line[5:].startswith(f"{part} ")]
    return line


def add_document(product: Product) -> None:
    file = ContentFile(b"%PDF-1.7 a manual", name="manual.pdf")
    ProductImage.objects.create(product=product, original=file)


def lose(row: ProductImage | None) -> None:
    assert row is not None
    os.remove(row.original.path)


@pytest.mark.parametrize("first", ["a document", "a lost file", "no picture"])
def test_one_readable_image_among_the_first_rows_is_enough(sell: Sell, first: str) -> None:
    product = sell(pictures=0)
    if first == "a document":
        add_document(product)
    elif first == "a lost file":
        lose(add_picture(product))
    else:
        ProductImage.objects.create(product=product, original="")
    add_picture(product, "green")
    line = look()
    assert line.startswith("ok")
    assert "read an image of example_shop.productimage" in line


def test_a_source_without_images_is_reported_but_does_not_fail(sell: Sell) -> None:
    add_document(sell(pictures=0))
    line = look()
    assert line.startswith("ok")
    assert "found no image in the first 50 rows of example_shop.productimage" in line


def test_a_storage_without_any_of_its_files_fails(sell: Sell) -> None:
    for row in sell(pictures=2).images.all():
        lose(row)
    assert look().startswith("FAIL")


def test_an_unavailable_storage_fails(sell: Sell, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ConnectionError("the bucket is down")

    sell(pictures=2)
    monkeypatch.setattr(FileSystemStorage, "_open", refuse)
    line = look()
    assert line.startswith("FAIL")
    assert "ConnectionError: the bucket is down" in line


def asking(url: str, **options: Any) -> dict[str, Any]:
    model = {
        "BACKEND": "mmsearch_app.rerankers.chat.ChatVLM",
        "OPTIONS": {"base_url": url, "model": "scripted", "attempts": 1},
    }
    backend = "mmsearch_app.rerankers.llvm.VisionReranker"
    return {"BACKEND": backend, "OPTIONS": {"model": model, **options}}


def test_a_reranker_whose_server_is_down_fails(use: Any) -> None:
    use(RERANKER=asking("http://127.0.0.1:9/v1"))
    assert look("reranker").startswith("FAIL")


def test_a_reranker_that_judges_two_pictures_passes(use: Any) -> None:
    with chatting(say('{"A": 3, "B": 9}')) as server:
        use(RERANKER=asking(server.base_url))
        assert look("reranker").startswith("ok")
        assert [len(pictures(body)) for body in server.asked][-1] > 0


def test_a_reranker_whose_replies_say_nothing_fails(use: Any) -> None:
    with chatting(say("Hello.")) as server:
        use(RERANKER=asking(server.base_url))
        line = look("reranker")
    assert line.startswith("FAIL")
    assert "nothing of its reply about two pictures could be used" in line


@pytest.mark.parametrize("mode", ["pairs", "letters"])
def test_a_mode_that_needs_logits_fails_if_the_server_reports_none(use: Any, mode: str) -> None:
    with chatting(say("Hello."), scores=None) as server:
        use(RERANKER=asking(server.base_url, mode=mode))
        line = look("reranker")
    assert line.startswith("FAIL")
    assert f"Mode '{mode}' reads logits, which this model does not give" in line


class Broken:
    """A shop's own reranker without `warm_up`, which fails."""

    fingerprint = "broken-1"

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        raise ConnectionError("no such host")


def test_a_reranker_without_warm_up_is_called(use: Any) -> None:
    use(RERANKER={"BACKEND": f"{__name__}.Broken"})
    assert "ConnectionError: no such host" in look("reranker")
