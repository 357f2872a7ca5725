"""Import your own images as products, from a folder or a CSV file."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from io import BytesIO, StringIO
from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.text import slugify
from PIL import Image

from example_shop.models import Category, Product, ProductImage
from mmsearch_app.conf import get_settings
from mmsearch_app.images import digest, open_image

COLUMNS = ("image", "title", "price", "category")
LEFTOVERS = ("thumbs.db", "desktop.ini", "__macosx")
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif"}
PRICE = Decimal("20.00")
"""The price of a product whose row has none."""


class BadRow(ValueError):
    """A row that cannot be imported; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One image of one product. Rows with the same title and category belong to one product."""

    image: Path
    title: str
    price: str
    category: str
    place: str
    """Where the row comes from, for messages: a file, or a file and line."""

    @property
    def sku(self) -> str:
        """The same for every image of a product, and in every run."""
        key = f"{self.category}\n{self.title}".casefold().encode()
        return "OWN-" + hashlib.sha256(key).hexdigest()[:12].upper()


def read_rows(path: Path) -> list[Row]:
    """Read a CSV file, a folder with one CSV file, or a folder of images.

    Raises BadRow if the path does not exist, has several CSV files, or if a column is missing.
    """
    if not path.exists():
        raise BadRow(f"{path} does not exist.")
    tables = [path] if path.is_file() else sorted(path.glob("*.csv"))
    if len(tables) > 1:
        raise BadRow(f"{path} contains {len(tables)} CSV files; name the one to import.")
    return list(_read_table(tables[0]) if tables else _read_folder(path))


def _read_table(path: Path) -> Iterator[Row]:
    text = _read_text(path)
    first, _, _ = text.partition("\n")
    table = csv.DictReader(StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        table.fieldnames = [name.strip().casefold() for name in table.fieldnames or ()]
        if missing := [name for name in COLUMNS[:2] if name not in table.fieldnames]:
            names = ", ".join(missing)
            raise BadRow(f"The first line of {path.name} must name the column(s) {names}.")
        for record in table:
            cells = {name: (record.get(name) or "").strip() for name in COLUMNS}
            yield Row(
                image=path.parent / cells["image"],
                title=cells["title"],
                price=cells["price"],
                category=cells["category"],
                place=f"{path.name}, line {table.line_num}",
            )
    except csv.Error as error:
        raise BadRow(f"{path.name}, line {table.line_num}: {error}.") from error


def _read_text(path: Path) -> str:
    """Decode UTF-8 or, as older Windows programs save it, Windows-1252."""
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "cp1252"):
        with suppress(UnicodeDecodeError):
            return data.decode(encoding)
    raise BadRow(f"{path.name} is not a text file; save it as CSV in UTF-8.")


def _read_folder(folder: Path) -> Iterator[Row]:
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if file.is_file() and not any(map(_is_hidden, parts)):
            yield Row(
                image=file,
                title=_title(file.stem),
                price="",
                category=_title(parts[-2]) if len(parts) > 1 else "",
                place="/".join(parts),
            )


def _is_hidden(name: str) -> bool:
    """Whether a file is hidden, or left behind by the operating system or an archive."""
    return name.startswith(".") or name.casefold() in LEFTOVERS


def _title(name: str) -> str:
    words = " ".join(name.replace("_", " ").replace("-", " ").split())
    return words[:1].upper() + words[1:]


def import_row(row: Row) -> bool:
    """Create or update the product and add the image; returns whether anything is new.

    Raises BadRow, OSError or `mmsearch_app.images.InvalidImage`, and then leaves the database
    unchanged.
    """
    title, price = row.title, _price(row)
    if not title or len(title) > 160:
        raise BadRow("The title must have 1 to 160 characters.")
    if not row.image.is_file():
        raise BadRow(f"The file {row.image} does not exist.")
    open_image(data := row.image.read_bytes(), **get_settings().stored_caps)
    with transaction.atomic():
        product, created = _save_product(row, price)
        added = _add_image(product, data)
    return created or added


def _price(row: Row) -> Decimal:
    if not row.price:
        return PRICE
    try:
        price = Decimal(row.price.replace(",", ".")).quantize(Decimal("0.01"))
    except InvalidOperation:
        price = Decimal(-1)
    if not 0 <= price < 1_000_000:
        raise BadRow(f"{row.price!r} is not a price.")
    return price


def _save_product(row: Row, price: Decimal) -> tuple[Product, bool]:
    slug = f"{slugify(row.title) or 'product'}-{row.sku[4:10].lower()}"
    product, created = Product.objects.get_or_create(
        sku=row.sku, defaults={"title": row.title, "slug": slug, "price": price, "stock": 10}
    )
    if row.price and product.price != price:
        product.price = price
        product.save(update_fields=["price"])
    if row.category:
        product.categories.add(_category(row.category))
    return product, created


def _category(name: str) -> Category:
    slug = slugify(name)[:80] or hashlib.sha256(name.encode()).hexdigest()[:12]
    return Category.objects.get_or_create(slug=slug, defaults={"name": name[:80]})[0]


def _add_image(product: Product, data: bytes) -> bool:
    """Add an image unless the product already has it, which its name shows; returns whether added.

    The suffix is taken from the image's format, never from the file's own name: a web server
    would serve `evil.html` as a page.
    """
    stem = f"products/{product.sku.lower()}-{digest(data)[:12]}"
    if product.images.filter(original__startswith=f"{stem}.").exists():
        return False
    with Image.open(BytesIO(data), formats=tuple(SUFFIXES)) as image:
        name = stem + SUFFIXES[image.format or ""]
    if not default_storage.exists(name):
        default_storage.save(name, ContentFile(data))
    position = product.images.count()
    ProductImage.objects.create(product=product, original=name, position=position)
    return True
