"""The search inspector: why is a product found, or not?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from numpy.typing import NDArray

from mmsearch_app.backends import get_index
from mmsearch_app.conf import get_settings
from mmsearch_app.models import Entry
from mmsearch_app.searching import (
    Answer,
    Hit,
    Query,
    answer,
    build_query,
    find_products,
    searchable,
    tickets,
)
from mmsearch_app.sources import (
    ImageSource,
    entry_key,
    find_pictures,
    label_of,
    read_safely,
    registry,
    specs,
)


class InspectorForm(forms.Form):
    """A query, and a product to look for in its results."""

    text = forms.CharField(label=gettext_lazy("Words"), required=False)
    image = forms.FileField(
        label=gettext_lazy("Picture"),
        required=False,
        widget=forms.ClearableFileInput(attrs={"accept": "image/*"}),
    )
    like = forms.CharField(
        label=gettext_lazy("Like product"),
        required=False,
        help_text=gettext_lazy("Primary key, or app.model:key."),
    )
    without = forms.CharField(label=gettext_lazy("Without"), required=False)
    filters = forms.CharField(label=gettext_lazy("Filters"), required=False)
    limit = forms.IntegerField(label=gettext_lazy("Hits"), required=False, min_value=1)
    compare = forms.CharField(
        label=gettext_lazy("Where is product"),
        required=False,
        help_text=gettext_lazy("Key of a product whose place and scores you want to know."),
    )
    query = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = ", ".join(sorted(specs())) or "–"
        text = _("As in an address: a=1&b__lte=2. Names: %(names)s")
        self.fields["filters"].help_text = text % {"names": names}
        self.fields["limit"].widget.attrs["placeholder"] = get_settings().LIMIT
        for name in ("text", "without", "filters"):
            self.fields[name].widget.attrs["class"] = "vTextField"

    def build_query(self, request: HttpRequest) -> Query:
        """Build the query. Raises InvalidQuery."""
        given = self.cleaned_data
        image = given["image"]
        if not image and given["query"]:
            image = tickets.redeem(given["query"], user=request.user, request=request).image
        return build_query(
            text=given["text"],
            image=image or None,
            like=given["like"] or None,
            without=given["without"],
            filters=dict(QueryDict(given["filters"]).lists()),
            limit=given["limit"],
            user=request.user,
            request=request,
        )

    def clean_compare(self) -> Model | None:
        key = self.cleaned_data["compare"]
        found = next(find_products(key), None) if key else None
        if key and found is None:
            raise ValidationError(_("There is no such product."))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A hit and its index entry."""

    position: int
    hit: Hit
    key: str
    entry: Entry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An image of the product that is looked for."""

    key: str
    entry: Entry | None
    score: float | None
    """Cosine similarity to the query; None if the index does not contain the image."""
    public: bool
    """Whether the source's queryset contains the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    answer: Answer
    generation: str
    findings: Sequence[Finding]
    product: Model | None = None
    title: str = ""
    """The name of `product`."""
    position: int | None = None
    comparisons: Sequence[Comparison] = ()


def run_inspection(query: Query, *, product: Model | None = None) -> Inspection:
    """Search, and look up the entries of the hits and of `product`.

    Raises InvalidQuery, SearchUnavailable, or IndexFault if the index fails in between.
    """
    found = answer(query)
    keys = [hit.id for hit in found.hits]
    entries = _entries(keys)
    findings = [
        Finding(position=place, hit=hit, key=key, entry=entries.get(key))
        for place, (hit, key) in enumerate(zip(found.hits, keys, strict=True), start=1)
    ]
    generation = searchable().name
    vector = found.query.vector if found.query else None
    return Inspection(
        answer=found,
        generation=generation,
        findings=findings,
        product=product,
        title=label_of(registry.showing(product)[0], product) if product else "",
        position=_place(product, found) if product else None,
        comparisons=_compare(product, vector, generation) if product else (),
    )


def _entries(keys: Sequence[str]) -> dict[str, Entry]:
    pks = [key.partition(":")[2] for key in keys]
    wanted = set(keys)
    found = Entry.objects.filter(object_pk__in=pks)
    return {entry.key: entry for entry in found if entry.key in wanted}


def _place(product: Model, found: Answer) -> int | None:
    keys = registry.keys_of(product)
    for place, hit in enumerate(found.hits, start=1):
        if registry.get(hit.source).product_key(hit.product) in keys:
            return place
    return None


def _shown_keys(source: ImageSource, product: Model) -> set[Any]:
    """Return the keys of the product's rows that the source's queryset contains."""

    def find() -> set[Any]:
        return set(source.rows_of(product).values_list("pk", flat=True))

    return read_safely(source, "get_queryset", find, set())


def _compare(
    product: Model, vector: NDArray[np.float32] | None, generation: str
) -> list[Comparison]:
    public: dict[str, bool] = {}
    for source in registry.showing(product):
        shown = _shown_keys(source, product)
        for pk, _product in find_pictures(source, [product.pk]):
            public[entry_key(source.name, pk)] = pk in shown
    held = get_index().stored(list(public), generation=generation) if public else {}
    entries = _entries(list(public))
    return [
        Comparison(
            key=key,
            entry=entries.get(key),
            score=float(held[key].vector @ vector) if key in held and vector is not None else None,
            public=public[key],
        )
        for key in public
    ]
