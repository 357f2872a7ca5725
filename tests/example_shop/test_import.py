"""`import_catalogue`: your own images in the shop."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from example_shop.models import Category, Product, ProductImage
from mmsearch_app.models import Entry
from tests.storefront.conftest import draw

pytestmark = pytest.mark.django_db
Shop = dict[str, Product]


def run(*arguments: str) -> tuple[int, str, str]:
    """The exit code, output and errors of import_catalogue."""
    out, err = StringIO(), StringIO()
    try:
        call_command("import_catalogue", *arguments, stdout=out, stderr=err)
    except SystemExit as error:
        return int(error.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """An empty folder for images."""
    folder = tmp_path / "own"
    (folder / "Tea_pots").mkdir(parents=True)
    return folder


def test_a_folder_becomes_categories_and_products(client: Client, own: Path) -> None:
    (own / "Tea_pots" / "blue-tea_pot.png").write_bytes(draw("blue"))
    (own / "odd one.jpg").write_bytes(draw("red", kind="JPEG"))
    code, out, err = run(str(own))
    assert (code, err) == (0, "")
    assert "2 imported, 0 already in the shop, 0 failed." in out
    pot = Product.objects.get(title="Blue tea pot")
    assert pot.categories.get().name == "Tea pots"
    assert client.get(pot.get_absolute_url()).status_code == 200
    assert not Product.objects.get(title="Odd one").categories.exists()


def test_importing_marks_the_images_for_the_index(own: Path) -> None:
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
    assert "0 imported, 1 already in the shop, 0 failed." in out
    assert list(ProductImage.objects.values_list("pk", "original")) == before


def test_each_bad_image_is_reported_and_the_good_ones_are_imported(own: Path) -> None:
    (own / "good.png").write_bytes(draw("blue"))
    (own / "cut.png").write_bytes(draw("red", side=300)[:150])
    (own / "notes.txt").write_text("remember the milk")
    (own / ".hidden").write_text("")
    code, out, err = run(str(own))
    assert code == 1
    assert "1 imported, 0 already in the shop, 2 failed." in out
    assert {line.split(":")[0] for line in err.splitlines()} == {"cut.png", "notes.txt"}
    assert [product.title for product in Product.objects.all()] == ["Good"]


@pytest.mark.parametrize(("kind", "suffix"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_an_image_is_stored_under_the_suffix_of_its_format(
    own: Path, kind: str, suffix: str
) -> None:
    (own / "evil.html").write_bytes(draw("blue", kind=kind))
    assert run(str(own))[0] == 0
    assert str(ProductImage.objects.get().original).endswith(f".{suffix}")


def test_hidden_and_system_files_are_skipped(own: Path) -> None:
    (own / "pot.png").write_bytes(draw("blue"))
    (own / "Thumbs.db").write_bytes(draw("red", kind="JPEG"))
    (own / "Tea_pots" / "desktop.ini").write_text("[.ShellClassInfo]")
    (own / "__MACOSX").mkdir()
    (own / "__MACOSX" / "._pot.png").write_bytes(b"\0")
    code, out, _ = run(str(own))
    assert (code, out.splitlines()[-1]) == (0, "1 imported, 0 already in the shop, 0 failed.")


def write_table(
    path: Path, rows: list[list[str]], *, encoding: str = "utf-8", delimiter: str = ","
) -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        table = csv.writer(file, delimiter=delimiter)
        table.writerows([["image", "title", "price", "category"], *rows])
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_as_spreadsheets_save_it(own: Path, encoding: str, delimiter: str) -> None:
    (own / "a.png").write_bytes(draw("blue"))
    rows = [["a.png", "Schöne Kanne", "12,50", "Töpfe; Kannen"]]
    table = write_table(own / "list.csv", rows, encoding=encoding, delimiter=delimiter)
    assert run(str(table))[0] == 0
    pot = Product.objects.get()
    assert (pot.title, str(pot.price)) == ("Schöne Kanne", "12.50")
    assert Category.objects.get().name == "Töpfe; Kannen"


def test_the_case_of_the_columns_does_not_matter(own: Path) -> None:
    (own / "a.png").write_bytes(draw("blue"))
    (own / "list.csv").write_text("Image, Title\r\na.png, Pot\r\n")
    assert run(str(own))[0] == 0
    assert Product.objects.get().title == "Pot"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"image,title\n\x81,\x8d", "is not a text file"),
        (b"image,title\n" + b"x" * 200_000, "list.csv, line 1: field larger"),
        (b"", "image, title"),
    ],
)
def test_a_file_that_is_not_a_table_is_refused(own: Path, data: bytes, why: str) -> None:
    (own / "list.csv").write_bytes(data)
    with pytest.raises(CommandError, match=why):
        run(str(own))


def test_a_table_sets_titles_prices_categories_and_several_images(own: Path) -> None:
    (own / "a.png").write_bytes(draw("blue"))
    (own / "b.png").write_bytes(draw("red"))
    rows = [["a.png", "Fine pot", "12,50", "Pots"], ["b.png", "Fine pot", "12,50", "Pots"]]
    assert run(str(write_table(own / "list.csv", rows)))[0] == 0
    pot = Product.objects.get()
    assert (pot.title, str(pot.price)) == ("Fine pot", "12.50")
    assert [image.position for image in pot.images.all()] == [0, 1]
    assert Category.objects.get().name == "Pots"


def test_a_new_price_in_the_table_updates_the_product(own: Path) -> None:
    (own / "a.png").write_bytes(draw("blue"))
    for price in ("10", "11"):
        run(str(write_table(own / "list.csv", [["a.png", "Pot", price, ""]])))
    assert str(Product.objects.get().price) == "11.00"


def test_bad_lines_of_a_table_are_named(own: Path) -> None:
    (own / "a.png").write_bytes(draw("blue"))
    rows = [["a.png", "Pot", "dear", ""], ["none.png", "Pan", "3", ""], ["a.png", "", "3", ""]]
    code, out, err = run(str(write_table(own / "list.csv", rows)))
    assert code == 1
    assert "0 imported, 0 already in the shop, 3 failed." in out
    assert [f"list.csv, line {line}" in err for line in (2, 3, 4)] == [True] * 3
    assert not Product.objects.exists()


def test_a_table_without_its_columns_is_refused(own: Path) -> None:
    (own / "list.csv").write_text("picture;name\n")
    with pytest.raises(CommandError, match="image, title"):
        run(str(own))


def test_a_missing_folder_is_refused(own: Path) -> None:
    with pytest.raises(CommandError, match="does not exist"):
        run(str(own / "nowhere"))
