"""Read what a visitor's link or form asks, before anything is searched for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.core.signals import setting_changed
from django.http import QueryDict
from django.urls import get_script_prefix, get_urlconf, reverse
from django.utils.datastructures import MultiValueDict
from django.utils.functional import cached_property
from django.utils.translation import get_language, gettext

from mmsearch_app.searching import MAX_VALUE_LENGTH, MAX_VALUES, InvalidQuery, pictures_of_reference
from mmsearch_app.sources import image_url_of, label_of, registry, specs, title_of, url_of

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile
    from django.db.models import Model

    from mmsearch_app.searching import Query

OPERATORS = ("gte", "lte", "gt", "lt")
"""What may follow a filter's name and `__` in a parameter."""
_TEXTS = ("like", "query", "text", "without")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a visitor submitted, beside filters."""

    text: str
    without: str
    like: str
    """Key of a product."""
    query: str
    """Token of an earlier query with an image."""
    image: UploadedFile[Any] | None


_TEXT = forms.CharField(required=False)
_IMAGE = forms.FileField(required=False)


class SearchForm:
    """Image, words, and the filters of the shop's sources under their own names.

    `build_query` checks what the values mean, for the page and the API alike. This is no form of
    Django, which would copy all of its fields for every link.
    """

    def __init__(self, data: QueryDict, files: MultiValueDict[str, Any] | None = None) -> None:
        self.submitted = data
        self.files: MultiValueDict[str, Any] = MultiValueDict() if files is None else files

    def read(self) -> Given:
        """Return what was submitted. Raises InvalidQuery if it can be no query."""
        given = Given(
            image=_check("image", _IMAGE, self.files.get("image")),
            **{name: _check(name, _TEXT, self.submitted.get(name)) for name in _TEXTS},
        )
        if self.filters != {key: values for key, values in self._given.items() if values}:
            msg = gettext("At most %(count)d filter values of %(length)d characters, please.")
            msg %= {"count": MAX_VALUES, "length": MAX_VALUE_LENGTH}
            raise InvalidQuery(msg, field="filters")
        return given

    @cached_property
    def filters(self) -> dict[str, list[str]]:
        """Filter parameters that were filled in, by their full names such as `price__lte`.

        Each value once, of a comparison the last one, and at most `MAX_VALUES` in all: every
        value becomes a link that carries all other values.
        """
        found: dict[str, list[str]] = {}
        left = MAX_VALUES
        for key, values in self._given.items():
            if kept := [value[:MAX_VALUE_LENGTH] for value in values[:left]]:
                found[key] = kept
                left -= len(kept)
        return found

    @cached_property
    def _given(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in specs():
            found[name] = self._values(name)
            for operator in OPERATORS:
                found[f"{name}__{operator}"] = self._values(f"{name}__{operator}")[-1:]
        return found

    def _values(self, key: str) -> list[str]:
        stripped = (value.strip() for value in self.submitted.getlist(key))
        return list(dict.fromkeys(filter(None, stripped)))

    @property
    def offset(self) -> int:
        """How many products earlier pages showed; 0 if the parameter is no number."""
        given = self.submitted.get("offset", "")
        return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0

    @property
    def is_blank(self) -> bool:
        """Whether there are neither words nor an image to search for."""
        return not (self.files.get("image") or any(map(self.value, ("text", "like", "query"))))

    def value(self, name: str) -> str:
        """Return a field as the visitor sent it, stripped."""
        return self.submitted.get(name, "").strip()

    @cached_property
    def parameters(self) -> dict[str, list[str]]:
        """What a link to the same query carries: everything but an upload."""
        return {name: [value] for name in _TEXTS if (value := self.value(name))} | self.filters

    def change(self, **changes: str | None) -> SearchForm:
        """Return the form with some parameters changed; None drops one."""
        data = self.submitted.copy()
        for name, value in changes.items():
            data.setlist(name, [] if value is None else [value])
        return SearchForm(data)

    def link(self, changes: Mapping[str, object] | None = None) -> str:
        """Return the address of the query with some parameters changed; None drops one."""
        return search_link({**self.parameters, **(changes or {})})


def _check(name: str, field: forms.Field, value: Any) -> Any:
    """Return the value as Django's form field reads it. Raises InvalidQuery."""
    try:
        return field.clean(value)
    except ValidationError as error:
        raise InvalidQuery(str(error.messages[0]), field=name) from error


def like_key(product: Model) -> str:
    """Return the value of the parameter `like` for a product: its primary key.

    If several models are registered as products, keys of all but the first name their model.
    """
    model = next((source.product_model for source in registry if source.shows(product)), None)
    first = next((source.product_model for source in registry), None)
    if model is None or model is first:
        return str(product.pk)
    return f"{model._meta.label_lower}:{product.pk}"


def like_link(product: Model) -> str:
    """Return the address of the search for products like this one."""
    return f"{_search_page()}?like={quote_plus(like_key(product))}"


@lru_cache(32)
def _address(*_: str | None) -> str:
    """Return the address of the search page; a page of results has it in every card and chip.

    The arguments are all that it depends on.
    """
    return reverse("mmsearch:search")


def _search_page() -> str:
    return _address(get_urlconf(), get_script_prefix(), get_language())


def _forget_addresses(**_: object) -> None:
    _address.cache_clear()


setting_changed.connect(_forget_addresses, dispatch_uid="mmsearch_app.storefront.forms")


def search_link(parameters: Mapping[str, object]) -> str:
    """Return the address of the search page with those parameters that are not empty."""
    given = {key: value for key, value in parameters.items() if value not in (None, "")}
    address = _search_page()
    return f"{address}?{urlencode(given, doseq=True)}" if given else address


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The image that the search starts from: a product's, or the visitor's own."""

    image_url: str
    title: str = ""
    """The product's; "" for the visitor's own image."""
    url: str = ""
    without_url: str
    """Address of the same search without it."""


def refer(form: SearchForm, query: Query | None) -> Reference | None:
    """Return what the page shows beside the words, or None if only words are searched for.

    `query` is None if the form was invalid; an image uploaded earlier is shown all the same.
    """
    without = form.link({"like": None, "query": None})
    if token := form.value("query"):
        address = reverse("mmsearch:picture", args=[token])
        return Reference(image_url=address, without_url=without)
    return _portray(query, without) if query and query.like is not None else None


def _portray(query: Query, without: str) -> Reference | None:
    """Show the query's product, or its stand-in, by its first picture.

    No rule of the shop says whether this visitor may see a product that has no row of its own.
    """
    product = query.stand_in or query.like
    if product is None:
        return None
    source = registry.showing(product)[0]
    url = url_of(source, product)
    for one, row in pictures_of_reference(query):
        title, picture = title_of(one, row, product), image_url_of(one, row)
        return Reference(image_url=picture, title=title, url=url, without_url=without)
    title = label_of(source, product)
    return Reference(image_url="", title=title, url=url, without_url=without)
