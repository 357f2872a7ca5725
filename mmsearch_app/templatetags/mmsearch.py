"""`{% load mmsearch %}`: the search box and "more like this, but …" on any page of a shop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template
from django.urls import reverse

from mmsearch_app.sources import registry
from mmsearch_app.storefront import SUGGESTIONS, like_key, search_link, suggest

if TYPE_CHECKING:
    from django.db.models import Model
    from django.template import Context

register = template.Library()


@register.inclusion_tag("mmsearch/_box.html", takes_context=True)
def mmsearch_box(context: Context, *, hint: str = "") -> dict[str, Any]:
    """A box for a picture, words, or both.

    Rendered without a request there is no CSRF token that a picture could be sent with: the
    box then takes words, and leads to the search page for pictures.
    """
    return {"once": _once(context), "action": reverse("mmsearch:search"), "hint": hint}


@register.inclusion_tag("mmsearch/_like.html", takes_context=True)
def mmsearch_like(context: Context, product: Model, *, chips: str = "") -> dict[str, Any]:
    """ "More like this, but …" for a product: an input with suggestions, by GET.

    `chips` replaces the suggestions: `chips="in green|made of wood"`. No query is made. Nothing
    is rendered for an undefined variable. Raises TemplateSyntaxError for what is no product.
    """
    if not product:
        return {}
    _require_product(product)
    key = like_key(product)
    suggestions = [chip.strip() for chip in chips.split("|") if chip.strip()] or SUGGESTIONS
    return {
        "once": _once(context),
        "action": reverse("mmsearch:search"),
        "product": product,
        "key": key,
        "chips": suggest({"like": [key]}, suggestions=suggestions, like=product),
    }


@register.inclusion_tag("mmsearch/_media.html", takes_context=True)
def mmsearch_media(context: Context) -> dict[str, Any]:
    """The style sheet and the script, for the head of a page; the other tags then skip them."""
    return {"once": _once(context)}


@register.filter
def mmsearch_like_url(product: Model) -> str:
    """Address of the search for what is like this product."""
    return search_link({"like": like_key(product)})


def _require_product(thing: object) -> None:
    models = registry.product_models()
    if not isinstance(thing, tuple(models)):
        labels = ", ".join(model._meta.label for model in models) or "none"
        msg = f"{{% mmsearch_like %}} needs a product ({labels}), not {type(thing).__name__}."
        raise template.TemplateSyntaxError(msg)


def _once(context: Context) -> bool:
    """Whether this is the first of these tags in the page being rendered."""
    # The lowest layer is the one that a page shares with all that it includes.
    page: Any = context.render_context.dicts[0]
    first = "mmsearch_media" not in page
    page["mmsearch_media"] = True
    return first
