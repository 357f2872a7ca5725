"""A small shop: shirts with variants, and mugs."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from oscar.core.loading import get_model

from tests.shops.pictures import picture
from tests.shops.visitor import index

Product, ProductClass, ProductImage, Category = (
    get_model("catalogue", name) for name in ("Product", "ProductClass", "ProductImage", "Category")
)
StockRecord, Partner = (get_model("partner", name) for name in ("StockRecord", "Partner"))


@dataclass
class Shop:
    """What the tests need of the shop, by name."""

    products: dict[str, Any] = field(default_factory=dict)
    categories: dict[str, Any] = field(default_factory=dict)
    types: dict[str, Any] = field(default_factory=dict)

    def sell(
        self, title: str, *, category: str = "", price: float | None = None, **fields: Any
    ) -> Any:
        """Add a product; with a `parent` it is a variant of that one."""
        kind = self.types.get(fields.pop("type", "Mug"))
        if "parent" in fields:
            fields |= {"structure": Product.CHILD, "parent": self.products[fields["parent"]]}
        else:
            fields["product_class"] = kind
        product = Product.objects.create(title=title, **fields)
        if category:
            product.categories.add(self.categories[category])
        if price is not None:
            self.stock(product, price)
        self.products[title or f"variant of {product.parent}"] = product
        return product

    def stock(self, product: Any, price: float, *, number: int = 5) -> Any:
        partner, _ = Partner.objects.get_or_create(name="Warehouse")
        return StockRecord.objects.create(
            product=product,
            partner=partner,
            partner_sku=f"sku-{StockRecord.objects.count()}",
            price=Decimal(str(price)),
            num_in_stock=number,
        )

    def photograph(self, product: Any, colour: str, *, side: int = 900) -> Any:
        place = product.images.count()
        original = picture(colour, side=side)
        return ProductImage.objects.create(product=product, original=original, display_order=place)


@pytest.fixture
def empty_shop(db: None) -> Shop:
    """Categories Clothes > Shirts and Kitchen, product types Shirt and Mug, no products."""
    shop = Shop()
    clothes = Category.add_root(name="Clothes")
    shop.categories = {
        "Clothes": clothes,
        "Shirts": clothes.add_child(name="Shirts"),
        "Kitchen": Category.add_root(name="Kitchen"),
    }
    shop.types = {name: ProductClass.objects.create(name=name) for name in ("Shirt", "Mug")}
    return shop


@pytest.fixture
def shop(empty_shop: Shop) -> Shop:
    """Indexed: a red mug, a blue mug, and a shirt with a green and a red variant.

    The shirt's own picture is blue. The red variant has no picture and no title of its own.
    """
    shop = empty_shop
    red = shop.sell("Red mug", category="Kitchen", price=8)
    blue = shop.sell("Blue mug", category="Kitchen", price=12)
    shirt = shop.sell("Linen shirt", category="Shirts", type="Shirt", structure=Product.PARENT)
    green = shop.sell("Linen shirt, green", parent="Linen shirt", price=40)
    shop.sell("", parent="Linen shirt", price=35)
    for number, (product, colour) in enumerate(
        [(red, "red"), (blue, "blue"), (shirt, "blue"), (green, "green")]
    ):
        shop.photograph(product, colour, side=880 + number)
    index()
    return shop
