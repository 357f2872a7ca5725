"""What a visitor's address or form asks, before anything is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.urls import reverse
from django.utils.datastructures import MultiValueDict
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from mmsearch_app.searching import MAX_VALUE_LENGTH, MAX_VALUES, specs
from mmsearch_app.sources import registry

if TYPE_CHECKING:
    from django.db.models import Model

    # MOVED
    from mmsearch_app.searching import Query

from typing import TYPE_CHECKING

__all__ = ["OPERATORS", "Reference", "SearchForm", "like_key", "refer", "search_link"]


OPERATORS = ("gte", "lte", "gt", "lt")
"""What may follow a filter's name and two underscores in a parameter."""


class SearchForm(forms.Form):
    """Picture, words, and the filters of the shop's sources under their own names.

    Only the form of the values is checked here; `mmsearch_app.searching.search.build_query` judges
    their meaning, for the page and the API alike.
    """

    text = forms.CharField(label=_("Words"), required=False)
    without = forms.CharField(label=_("Without"), required=False)
    image = forms.FileField(label=_("Picture"), required=False)
    like = forms.CharField(required=False, widget=forms.HiddenInput)
    query = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: QueryDict, files: MultiValueDict[str, Any] | None = None) -> None:
        super().__init__(data, files)
        self.submitted = data

    @cached_property
    def filters(self) -> dict[str, list[str]]:
        """Filter parameters that were filled in, by their full names, e.g. `price__lte`.

        Each value once, the last one of a comparison, and never more than the page can show:
        every value becomes a link that carries all others.
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
        return list(
            dict.fromkeys(v for value in self.submitted.getlist(key) if (v := value.strip()))
        )

    def clean(self) -> dict[str, Any]:
        """Refuse filters that had to be cut. Raises ValidationError."""
        if self.filters != {key: values for key, values in self._given.items() if values}:
            raise ValidationError(
                _("At most %(count)d filter values of %(length)d characters, please."),
                params={"count": MAX_VALUES, "length": MAX_VALUE_LENGTH},
            )
        return self.cleaned_data

    @property
    def offset(self) -> int:
        """How many products were shown before; 0 for anything that is no such number."""
        given = self.submitted.get("offset", "")
        return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0

    @property
    def is_blank(self) -> bool:
        """Whether neither words nor a picture were given."""
        return not (self.files.get("image") or any(map(self.value, ("text", "like", "query"))))

    def value(self, name: str) -> str:
        """A field as the visitor sent it, stripped."""
        return self.submitted.get(name, "").strip()

    @cached_property
    def parameters(self) -> dict[str, list[str]]:
        """All that a link to the same question carries; an upload cannot be among it."""
        names = ("like", "query", "text", "without")
        return {name: [value] for name in names if (value := self.value(name))} | self.filters

    def change(self, **changes: str | None) -> SearchForm:
        """The same question with some parameters changed; None drops one."""
        data = self.submitted.copy()
        for name, value in changes.items():
            data.setlist(name, [] if value is None else [value])
        return SearchForm(data)

    def link(self, changes: Mapping[str, object] | None = None) -> str:
        """Address of the same question with some parameters changed; None drops one."""
        return search_link({**self.parameters, **(changes or {})})


def like_key(product: Model) -> str:
    """What the parameter `like` says for a product: its primary key.

    Where several models are registered as products, those after the first say which.
    """
    models = [model for model in registry.product_models() if isinstance(product, model)]
    if not models or models[0] is registry.product_models()[0]:
        return str(product.pk)
    return f"{models[0]._meta.label_lower}:{product.pk}"


def search_link(parameters: Mapping[str, object]) -> str:
    """Address of the search page with the parameters that are not None."""
    given = {key: value for key, value in parameters.items() if value not in (None, "")}
    address = reverse("mmsearch:search")
    return f"{address}?{urlencode(given, doseq=True)}" if given else address


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A product's picture, or one that the visitor brought."""

    image_url: str
    title: str = ""
    """The product's; "" for the visitor's own picture."""
    url: str = ""
    without_url: str
    """Address of the same question without it."""


def refer(form: SearchForm, query: Query | None) -> Reference | None:
    """What the page shows beside the words; None for a question of words alone.

    `query` is None where the form could not be understood: a picture kept earlier stays.
    """
    without = form.link({"like": None, "query": None})
    if token := form.value("query"):
        address = reverse("mmsearch:picture", args=[token])
        return Reference(image_url=address, without_url=without)
    return _portray(query.like, without) if query and query.like is not None else None


def _portray(product: Model, without: str) -> Reference:
    """The product's first picture in the order of its source; at most one query a source."""
    address = getattr(product, "get_absolute_url", None)
    url = address() if address else ""
    for source, rows in registry.showing(product):
        row = rows.first()
        file = source.get_file(row) if row is not None else None
        if row is not None and file is not None:
            title = source.get_title(row) or str(product)
            return Reference(image_url=file.url, title=title, url=url, without_url=without)
    return Reference(image_url="", title=str(product), url=url, without_url=without)
