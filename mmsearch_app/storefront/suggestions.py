"""Suggestions for the "but" in "like this, but …"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_noop as _

from mmsearch_app.sources import UNFIT, ImageSource, paths, read_safely, registry
from mmsearch_app.storefront.forms import search_link

if TYPE_CHECKING:
    from django.db.models import Model

    from mmsearch_app.sources import ImageSource

Suggestion: TypeAlias = str | tuple[str, str]
"""A label and the words for the model; or one text, whose translation is the label."""
SUGGESTIONS: tuple[Suggestion, ...] = (
    _("in red"),
    _("in black"),
    _("striped"),
    _("plain"),
    _("with flowers"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A link that adds words or a filter to the search, or removes them."""

    label: str
    url: str
    words: str = ""
    """What the model gets, in a language that it understands; "" if the chip sets a filter."""
    active: bool = False


def suggest(
    parameters: Mapping[str, Any],
    *,
    suggestions: Iterable[Suggestion] = SUGGESTIONS,
    like: Model | None = None,
) -> list[Chip]:
    """Return chips for a search with these parameters of the search page.

    Each chip sets the words, or clears them if they are set to it (with "but" before them or
    not). A suggestion whose last word is in the title of `like`, as label or as words, is left
    out. "cheaper" is added if `like` has a price and the shop has a numeric filter called "price".
    """
    said = _plain((parameters.get("text") or [""])[0])
    known = {*_title(like).casefold().split()} if like else set()
    chips = []
    for suggestion in suggestions:
        label, words = _label_and_words(suggestion)
        active = said in (_plain(label), _plain(words))
        if not active and known.intersection(_last(label), _last(words)):
            continue
        url = search_link({**parameters, "text": None if active else words})
        chips.append(Chip(label=label, url=url, words=words, active=active))
    return chips + _cheaper(parameters, like)


def _label_and_words(suggestion: Suggestion) -> tuple[str, str]:
    # A model may know English only: what it gets is the text as written, not its translation.
    given = suggestion if isinstance(suggestion, tuple) else (gettext(suggestion), suggestion)
    label, words = map(str, given)
    return label, words


def _last(words: str) -> list[str]:
    return words.casefold().split()[-1:]


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
            return read_safely(source, path, partial(_first_text, product, path), "")
    return ""


def _first_text(product: Model, path: str) -> str:
    return str(next(paths.read(product, path), ""))


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
            read = partial(_read_all, product, [path for path in own if path])
            raw: list[Any] = read_safely(source, "price", read, [])
            if raw:
                return str(min(map(spec.type.read, raw)))
    return ""


def _read_all(product: Model, own: Iterable[str]) -> list[Any]:
    return [value for path in own for value in paths.read(product, path)]


def _within(source: ImageSource, path: str) -> str:
    """Return the path from the product on, or "" if it does not lead through the product."""
    prefix = f"{source.product}." if source.product else ""
    return path.removeprefix(prefix) if path.startswith(prefix) else ""
