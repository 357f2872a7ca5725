"""Suggestions for the "but" in "like this, but …"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_noop as _

from mmsearch_app.searching import specs
from mmsearch_app.sources import paths, registry
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
    title = _read(like, "title") if like else None
    known = str(title or "").casefold().split()
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
    spec = specs().get("price")
    priced = spec is not None and spec.kind == "number"
    price = _read(like, "price") if like and priced else None
    if price is None:
        return []
    active = parameters.get("price__lt") == [str(price)]
    url = search_link({**parameters, "price__lt": None if active else price})
    return [Chip(label=gettext("cheaper"), url=url, active=active)]


def _read(product: Model, name: str) -> object | None:
    """Return the product's title, or the first value of a filter; None if it has none.

    Only paths that lead through the product are read, so that no row has to be loaded.
    """
    for source in registry:
        path = source.title if name == "title" else source.filters.get(name)
        if path and source.shows(product):
            prefix = f"{source.product}." if source.product else ""
            if path.startswith(prefix):
                return next(paths.read(product, path.removeprefix(prefix)), None)
    return None
