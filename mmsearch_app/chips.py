"""Suggestions for the "but" in "like this, but …"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from mmsearch_app import paths
from mmsearch_app.filters import specs
from mmsearch_app.forms import search_link
from mmsearch_app.sources import registry

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

    Each sets the words, or clears them where they are set to it. "cheaper" is added where
    `like` is known and the shop filters by a number called "price".
    """
    words = next(iter(parameters.get("text", [])), "")
    chips = []
    for label in map(gettext, suggestions):
        active = label == words
        url = search_link({**parameters, "text": None if active else label})
        chips.append(Chip(label=label, url=url, active=active))
    return chips + _cheaper(parameters, like)


def _cheaper(parameters: Mapping[str, Any], like: Model | None) -> list[Chip]:
    price = _price_of(like) if like else None
    if price is None:
        return []
    active = parameters.get("price__lt") == [str(price)]
    url = search_link({**parameters, "price__lt": None if active else price})
    return [Chip(label=gettext("cheaper"), url=url, active=active)]


def _price_of(product: Model) -> object | None:
    """The product's price as its source filters by it, read without a query."""
    spec = specs().get("price")
    if spec is None or spec.kind != "number":
        return None
    for source in registry:
        if isinstance(product, source.product_model) and (path := source.filters.get("price")):
            prefix = f"{source.product}." if source.product else ""
            if path.startswith(prefix):
                return next(paths.read(product, path.removeprefix(prefix)), None)
    return None
