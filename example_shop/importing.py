"""Bring anyone's own pictures into the shop: from a folder or from a CSV table."""

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
"""What a product of a folder costs until somebody says otherwise."""


class BadRow(ValueError):
    """A row that cannot be imported; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One picture of one product. Rows of the same title and category are views of one."""

    image: Path
    title: str
    price: str
    category: str
    place: str
    """Where it comes from, for messages."""

    @property
    def sku(self) -> str:
        """The same for every view of a product, and at every run."""
        key = f"{self.category}\n{self.title}".casefold().encode()
        return "OWN-" + hashlib.sha256(key).hexdigest()[:12].upper()


def read_rows(path: Path) -> list[Row]:
    """Rows of a CSV file, of the one CSV file in a folder, or of a folder of pictures.

    Raises BadRow when there is nothing to read or a column is missing.
    """
    if not path.exists():
        raise BadRow(f"There is no {path}.")
    tables = [path] if path.is_file() else sorted(path.glob("*.csv"))
    if len(tables) > 1:
        raise BadRow(f"{path} holds {len(tables)} CSV files; name the one to import.")
    return list(_read_table(tables[0]) if tables else _read_folder(path))


def _read_table(path: Path) -> Iterator[Row]:
    text = _read_text(path)
    first, _, _ = text.partition("\n")
    table = csv.DictReader(StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        table.fieldnames = [name.strip().casefold() for name in table.fieldnames or ()]
        if missing := [name for name in COLUMNS[:2] if name not in table.fieldnames]:
            raise BadRow(f"{path.name} needs the column(s) {', '.join(missing)} in its first line.")
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
    """Decode what editors and spreadsheets save: UTF-8, or the code page of old Windows."""
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "cp1252"):
        with suppress(UnicodeDecodeError):
            return data.decode(encoding)
    raise BadRow(f"{path.name} is no text; save it as CSV in UTF-8.")


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
    """What systems and unpackers leave in folders without showing it."""
    return name.startswith(".") or name.casefold() in LEFTOVERS


def _title(name: str) -> str:
    words = " ".join(name.replace("_", " ").replace("-", " ").split())
    return words[:1].upper() + words[1:]


def import_row(row: Row) -> bool:
    """Create or update the product and add the picture; False where both were there.

    Raises BadRow, OSError or `mmsearch_app.images.InvalidImage`; then no row was changed.
    """
    title, price = row.title, _price(row)
    if not title or len(title) > 160:
        raise BadRow("A title of 1 to 160 characters is needed.")
    if not row.image.is_file():
        raise BadRow(f"There is no file {row.image}.")
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
    """Add a view unless the product has this very picture; the name tells.

    Its end is that of the picture's format, never the file's own: a web server would serve
    `evil.html` as a page.
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
