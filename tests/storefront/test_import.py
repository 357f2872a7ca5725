"""Anyone's own pictures in the shop: `import_catalogue`."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from example_shop.models import Category, Product, ProductImage
from mmsearch_app.models import Entry

from .conftest import draw

pytestmark = pytest.mark.django_db
Shop = dict[str, Product]


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of import_catalogue."""
    out, err = StringIO(), StringIO()
    try:
        call_command("import_catalogue", *arguments, stdout=out, stderr=err)
    except SystemExit as error:
        return int(error.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder for somebody's own pictures."""
    folder = tmp_path / "own"
    (folder / "Tea_pots").mkdir(parents=True)
    return folder


def test_a_folder_becomes_shelves_and_products(client: Client, own: Path) -> None:
    (own / "Tea_pots" / "blue-tea_pot.png").write_bytes(draw("blue"))
    (own / "odd one.jpg").write_bytes(draw("red", kind="JPEG"))
    code, out, err = run(str(own))
    assert (code, err) == (0, "")
    assert "2 imported, 0 there already, 0 failed." in out
    pot = Product.objects.get(title="Blue tea pot")
    assert pot.categories.get().name == "Tea pots"
    assert client.get(pot.get_absolute_url()).status_code == 200
    assert not Product.objects.get(title="Odd one").categories.exists()


def test_importing_marks_the_pictures_for_the_index(own: Path) -> None:
    (own / "pot.png").write_bytes(draw("blue"))
    run(str(own))
    image = ProductImage.objects.get()
    assert Entry.objects.filter(object_pk=str(image.pk), state="pending").exists()


def test_importing_twice_changes_nothing(own: Path) -> None:
    (own / "pot.png").write_bytes(draw("blue"))
    run(str(own))
    before = list(ProductImage.objects.values_list("pk", "original"))
    code, out, _ = run(str(own))
    assert code == 0
    assert "0 imported, 1 there already, 0 failed." in out
    assert list(ProductImage.objects.values_list("pk", "original")) == before


def test_each_bad_picture_gets_a_sentence_and_the_good_ones_come_in(own: Path) -> None:
    (own / "good.png").write_bytes(draw("blue"))
    (own / "cut.png").write_bytes(draw("red", side=300)[:150])
    (own / "notes.txt").write_text("remember the milk")
    (own / ".hidden").write_text("")
    code, out, err = run(str(own))
    assert code == 1
    assert "1 imported, 0 there already, 2 failed." in out
    assert {line.split(":")[0] for line in err.splitlines()} == {"cut.png", "notes.txt"}
    assert [product.title for product in Product.objects.all()] == ["Good"]


def write_table(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "title", "price", "category"], *rows])
    return path


def test_a_table_gives_titles_prices_categories_and_several_views(own: Path) -> None:
    (own / "a.png").write_bytes(draw("blue"))
    (own / "b.png").write_bytes(draw("red"))
    rows = [["a.png", "Fine pot", "12,50", "Pots"], ["b.png", "Fine pot", "12,50", "Pots"]]
    assert run(str(write_table(own / "list.csv", rows)))[0] == 0
    pot = Product.objects.get()
    assert (pot.title, str(pot.price)) == ("Fine pot", "12.50")
    assert [image.position for image in pot.images.all()] == [0, 1]
    assert Category.objects.get().name == "Pots"


def test_a_new_price_in_the_table_reaches_the_product(own: Path) -> None:
    (own / "a.png").write_bytes(draw("blue"))
    for price in ("10", "11"):
        run(str(write_table(own / "list.csv", [["a.png", "Pot", price, ""]])))
    assert str(Product.objects.get().price) == "11.00"


def test_bad_lines_of_a_table_are_named(own: Path) -> None:
    (own / "a.png").write_bytes(draw("blue"))
    rows = [["a.png", "Pot", "dear", ""], ["none.png", "Pan", "3", ""], ["a.png", "", "3", ""]]
    code, out, err = run(str(write_table(own / "list.csv", rows)))
    assert code == 1
    assert "0 imported, 0 there already, 3 failed." in out
    assert [f"list.csv, line {line}" in err for line in (2, 3, 4)] == [True] * 3
    assert not Product.objects.exists()


def test_a_table_without_its_columns_is_refused(own: Path) -> None:
    (own / "list.csv").write_text("picture;name\n")
    with pytest.raises(CommandError, match="image, title"):
        run(str(own))


def test_a_missing_folder_is_refused(own: Path) -> None:
    with pytest.raises(CommandError, match="There is no"):
        run(str(own / "nowhere"))
