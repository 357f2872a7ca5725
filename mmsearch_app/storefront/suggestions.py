"""Suggestions for the "but" in "like this, but …"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_noop as _

from mmsearch_app.sources import UNFIT, ImageSource, paths, registry
from mmsearch_app.storefront.forms import search_link

if TYPE_CHECKING:
    from django.db.models import Model

SUGGESTIONS = (_("in red"), _("in black"), _("striped"), _("plain"), _("with flowers"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A link that adds words or a filter to the search, or removes them."""

    label: str
    url: str
    active: bool = False


def suggest(
    parameters: Mapping[str, Any],
    *,
    suggestions: Iterable[str] = SUGGESTIONS,
    like: Model | None = None,
) -> list[Chip]:
    """Return chips for a search with these parameters of the search page.

    Each chip sets the words, or clears them if they are set to it (with "but" before them or
    not). A suggestion whose last word is in the title of `like` is left out. "cheaper" is added
    if `like` has a price and the shop has a numeric filter called "price".
    """
    said = _plain((parameters.get("text") or [""])[0])
    known = _title(like).casefold().split() if like else []
    chips = []
    for label in map(gettext, suggestions):
        active = _plain(label) == said
        if not active and label.casefold().split()[-1] in known:
            continue
        url = search_link({**parameters, "text": None if active else label})
        chips.append(Chip(label=label, url=url, active=active))
    return chips + _cheaper(parameters, like)


def _plain(words: str) -> str:
    return words.casefold().strip().removeprefix(pgettext("before a wish", "but") + " ").strip()


def _cheaper(parameters: Mapping[str, Any], like: Model | None) -> list[Chip]:
    price = _price(like) if like else ""
    if not price:
        return []
    active = parameters.get("price__lt") == [price]
    url = search_link({**parameters, "price__lt": None if active else price})
    return [Chip(label=gettext("cheaper"), url=url, active=active)]


def _title(product: Model) -> str:
    """Return the product's title, or ""."""
    for source in registry:
        if source.title and source.shows(product) and (path := _within(source, source.title)):
            return str(next(paths.read(product, path), ""))
    return ""


def _price(product: Model) -> str:
    """Return the product's lowest price as an address has it, or "".

    Paths to other rows, such as those of its variants, are not followed: a page with many cards
    would run a query for each.
    """
    for source in registry:
        spec = source.filter_specs.get("price")
        if spec is None or spec.kind != "number" or not source.shows(product):
            continue
        with suppress(*UNFIT):
            own = [_within(source, path.dotted) for path in spec.paths if not path.many]
            raw = [value for path in own if path for value in paths.read(product, path)]
            if raw:
                return str(min(map(spec.type.read, raw)))
    return ""


def _within(source: ImageSource, path: str) -> str:
    """Return the path from the product on, or "" if it does not lead through the product."""
    prefix = f"{source.product}." if source.product else ""
    return path.removeprefix(prefix) if path.startswith(prefix) else ""
