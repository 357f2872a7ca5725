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

__all__ = ["SUGGESTIONS", "Chip", "suggest"]

SUGGESTIONS = (_("in red"), _("in black"), _("striped"), _("plain"), _("with flowers"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A link that says one more thing about what is looked for, or takes it back."""

    label: str
    url: str
    active: bool = False


def suggest(
    parameters: Mapping[str, Any],
    *,
    suggestions: Iterable[str] = SUGGESTIONS,
    like: Model | None = None,
) -> list[Chip]:
    """Chips for a question with these parameters of the search page.

    Each sets the words, or clears them where they are set to it ("but" before them or not).
    What the title of `like` says already is not suggested. "cheaper" is added where `like` is
    known and the shop filters by a number called "price".
    """
    said = _plain(next(iter(parameters.get("text", [])), ""))
    known = set(str(_read(like, "title") or "").casefold().split()) if like else set()
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
    """The product's title, or what a filter of its source says of it, read without a query."""
    for source in registry:
        path = source.title if name == "title" else source.filters.get(name)
        if isinstance(product, source.product_model) and path:
            prefix = f"{source.product}." if source.product else ""
            if path.startswith(prefix):
                return next(paths.read(product, path.removeprefix(prefix)), None)
    return None
