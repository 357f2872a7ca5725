"""A small site: a shelf of mugs and a shelf of shirts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from wagtail.images.models import Image
from wagtail.models import Collection, Locale, Page, Site

from tests.shops.pictures import picture
from tests.shops.visitor import index
from tests.shops.wagtail.models import GalleryImage, ProductPage, ShelfPage


@dataclass
class Shop:
    """What the tests need of the site, by title."""

    root: Page
    home: Page
    site: Site
    pages: dict[str, Any] = field(default_factory=dict)

    def shelve(self, title: str, parent: Page | None = None) -> ShelfPage:
        page = ShelfPage(title=title)
        self.pages[title] = (parent or self.home).add_child(instance=page)
        return page

    def sell(
        self, title: str, colour: str = "", *, shelf: str = "Mugs", price: float = 10, **fields: Any
    ) -> ProductPage:
        """Publish a product page, with an image if a colour is given."""
        if colour:
            fields["image"] = photograph(colour, side=700 + len(self.pages))
        page = ProductPage(title=title, price=price, **fields)
        self.pages[title] = self.pages[shelf].add_child(instance=page)
        return page

    def hang(self, title: str, colour: str) -> GalleryImage:
        """Add an image to the gallery of a page."""
        picture = photograph(colour, side=800 + GalleryImage.objects.count())
        row: GalleryImage = GalleryImage.objects.create(page=self.pages[title], image=picture)
        return row


def photograph(colour: str, *, side: int = 900, collection: Collection | None = None) -> Image:
    """An image in the library."""
    place = collection or Collection.get_first_root_node()
    file = picture(colour, side=side)
    return Image.objects.create(title=f"{colour} {side}", file=file, collection=place)


@pytest.fixture
def empty_shop(db: None) -> Shop:
    """What Wagtail's own migrations create, with a home page."""
    Locale.objects.get_or_create(language_code="en")
    Collection.add_root(name="Root")
    root = Page.add_root(title="Root", slug="root")
    home = root.add_child(instance=ShelfPage(title="Home", slug="home"))
    site = Site.objects.create(hostname="testserver", root_page=home, is_default_site=True)
    return Shop(root=root, home=home, site=site)


@pytest.fixture
def shop(empty_shop: Shop) -> Shop:
    """Indexed: a red mug (8), a blue mug (12), a blue shirt (40) with a green picture as well."""
    shop = empty_shop
    shop.shelve("Mugs")
    shop.shelve("Shirts")
    shop.sell("Red mug", "red", price=8)
    shop.sell("Blue mug", "blue", price=12)
    shop.sell("Linen shirt", "blue", shelf="Shirts", price=40)
    shop.hang("Linen shirt", "green")
    index()
    return shop
