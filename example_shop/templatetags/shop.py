"""`{% load shop %}`: how the example shop shows its products."""

from __future__ import annotations

from django import template
from django.utils.formats import number_format
from django.utils.safestring import SafeString, mark_safe

register = template.Library()
_NOT_FOR_SALE = mark_safe('<p class="price price-none">For inspiration, not for sale</p>')


@register.filter
def price(product: object) -> SafeString:
    """Return the price of a product as a paragraph; what has none is not for sale."""
    asked = getattr(product, "price", None)
    if asked is None:
        return _NOT_FOR_SALE
    amount = number_format(asked, 2)  # digits and their separators: nothing to escape
    return mark_safe(f'<p class="price">£{amount}</p>')  # noqa: S308
