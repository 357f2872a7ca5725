"""`{% load shop %}`: how the example shop shows its products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import template
from django.utils.formats import number_format
from django.utils.safestring import SafeString, mark_safe

if TYPE_CHECKING:
    from example_shop.models import Product

register = template.Library()
_NOT_FOR_SALE = mark_safe('<p class="price price-none">For inspiration, not for sale</p>')


@register.filter
def price(product: Product) -> SafeString:
    """Return the product's price as a paragraph."""
    if product.price is None:
        return _NOT_FOR_SALE
    amount = number_format(product.price, 2)  # digits and their separators: nothing to escape
    return mark_safe(f'<p class="price">£{amount}</p>')  # noqa: S308
