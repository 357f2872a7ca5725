"""The shop's own catalogue: `make_catalogue` and `demo`."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from example_shop.drawing import draw_all
from example_shop.models import Product
from mmsearch_app.testing import index_everything

pytestmark = pytest.mark.django_db
Shop = dict[str, Product]


@pytest.fixture
def few(settings: Any) -> Path:
    """Two products and the inspiration, drawn and on sale."""
    call_command("make_catalogue", limit=2, jobs=1, stdout=StringIO(), stderr=StringIO())
    return Path(settings.MEDIA_ROOT)


def test_the_catalogue_is_drawn_and_put_on_sale(client: Client, few: Path) -> None:
    products = Product.objects.for_sale()
    assert products.count() == 2
    for product in products:
        assert [image.position for image in product.images.all()] == [0, 1]
        assert all((few / image.original.name).stat().st_size for image in product.images.all())
        assert product.kind
        assert product.colour
        assert client.get(product.get_absolute_url()).status_code == 200


def test_making_the_catalogue_again_adds_nothing_and_keeps_edits(few: Path) -> None:
    Product.objects.update(title="Edited")
    before = sorted(path.stat().st_mtime_ns for path in few.rglob("*.jpg"))
    out = StringIO()
    call_command("make_catalogue", limit=2, jobs=1, stdout=out)
    assert "0 pictures drawn, 0 products new." in out.getvalue()
    assert sorted(path.stat().st_mtime_ns for path in few.rglob("*.jpg")) == before
    assert set(Product.objects.values_list("title", flat=True)) == {"Edited"}


def test_several_processes_draw_the_same_pictures_in_the_same_order() -> None:
    tasks = [("MUG-001", 0), ("MUG-001", 1), ("TEE-002", 0)]
    assert list(draw_all(tasks, jobs=2)) == list(draw_all(tasks, jobs=1))


def test_a_lost_picture_is_drawn_again(few: Path) -> None:
    lost = next(few.rglob("*.jpg"))
    while lost.name.startswith("ins-"):
        lost = next(path for path in few.rglob("*.jpg") if path != lost)
    drawn = lost.read_bytes()
    lost.unlink()
    call_command("make_catalogue", limit=2, jobs=1, stdout=StringIO(), stderr=StringIO())
    assert lost.read_bytes() == drawn


def test_the_inspiration_can_be_asked_with(client: Client, few: Path) -> None:
    index_everything()
    leopard = Product.objects.get(price=None)
    asked = client.get("/search/", {"like": leopard.pk, "text": "a phone case with this"})
    assert asked.status_code == 200
    assert len(asked.context["answer"].hits) == 2
    assert leopard not in [hit.product for hit in asked.context["answer"].hits]


def test_the_demo_prepares_everything_and_names_its_searches(client: Client, settings: Any) -> None:
    settings.DEBUG = True
    for _ in range(2):
        out = StringIO()
        call_command("demo", serve=False, limit=2, jobs=1, port=8123, stdout=out)
        links = re.findall(r"http://127\.0\.0\.1:8123(/search/\S+)", out.getvalue())
        assert links[0] == "/search/?text=red+mug"
        assert "text=a+phone+case+with+this" in links[-1]
        for link in links:
            assert client.get(link).context["answer"].hits
