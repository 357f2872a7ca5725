"""`{% load mmsearch %}`: the search box and "more like this, but …" on any page of a shop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template
from django.db.models import Model
from django.urls import reverse

from mmsearch_app.searching import find_pictured
from mmsearch_app.sources import registry
from mmsearch_app.storefront import SUGGESTIONS, like_key, like_link, suggest

if TYPE_CHECKING:
    from django.template import Context

register = template.Library()


@register.inclusion_tag("mmsearch/_box.html", takes_context=True)
def mmsearch_box(
    context: Context, *, hint: str | None = None, compact: bool = False
) -> dict[str, Any]:
    """Render a box for an image, words, or both; `compact` is one line for a header.

    `hint` replaces the sentence below the box, "" leaves it out, as `compact` does by default.

    Without a request there is no CSRF token to upload an image with: the box then takes words
    only, and links to the search page for images.
    """
    return {
        "once": _once(context),
        "action": reverse("mmsearch:search"),
        "hint": hint,
        "compact": compact,
        "explained": hint is None and not compact,
    }


@register.inclusion_tag("mmsearch/_like.html", takes_context=True)
def mmsearch_like(context: Context, product: Model, *, chips: str = "") -> dict[str, Any]:
    """Render "More like this, but …" for a product: an input with suggestions, sent by GET.

    `chips="in green|made of wood"` replaces the suggestions; `chips="in Grün=in green"` gives a
    label and the words for the model. Runs one database query per source. A product that has no
    picture, nor a stand-in with one, renders nothing, and so does an undefined variable; anything
    else that is not a product raises TemplateSyntaxError.
    """
    if not product:
        return {}
    _require_product(product)
    request = context.get("request")
    if find_pictured(product, user=getattr(request, "user", None), request=request) is None:
        return {}
    key = like_key(product)
    suggestions = [*map(_suggestion, filter(str.strip, chips.split("|")))] or SUGGESTIONS
    return {
        "once": _once(context),
        "action": reverse("mmsearch:search"),
        "product": product,
        "key": key,
        "chips": suggest({"like": [key]}, suggestions=suggestions, like=product),
    }


@register.inclusion_tag("mmsearch/_media.html", takes_context=True)
def mmsearch_media(context: Context) -> dict[str, Any]:
    """Render the style sheet and the script, for the head of a page; later tags then omit them."""
    return {"once": _once(context)}


@register.filter
def mmsearch_like_url(product: Model) -> str:
    """Return the address of the search for products like this one."""
    return like_link(product)


def _suggestion(chip: str) -> tuple[str, str]:
    """Return the label and the words of `label=words`, or of a text that is both."""
    label, _, words = map(str.strip, chip.partition("="))
    return label, words or label


def _require_product(thing: object) -> None:
    if not isinstance(thing, Model) or not any(source.shows(thing) for source in registry):
        labels = ", ".join(model._meta.label for model in registry.product_models()) or "none"
        msg = f"{{% mmsearch_like %}} needs a product ({labels}), not {type(thing).__name__}."
        raise template.TemplateSyntaxError(msg)


def _once(context: Context) -> bool:
    """Whether this is the first of these tags in the page being rendered."""
    # Only the lowest layer of the render context is shared by a page and the templates that it
    # includes; Django offers no other way to it.
    page: Any = context.render_context.dicts[0]
    first = "mmsearch_media" not in page
    page["mmsearch_media"] = True
    return first
