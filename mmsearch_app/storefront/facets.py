"""The filters of the shop's sources as the search page offers them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.db.models import Exists, OuterRef
from django.utils.dateparse import parse_date
from django.utils.formats import date_format, localize
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_noop

from mmsearch_app.searching import FilterSpec, specs
from mmsearch_app.sources import ImageSource, registry
from mmsearch_app.storefront.forms import OPERATORS, SearchForm

__all__ = ["MAX_CHOICES", "Applied", "Facet", "FacetChoice", "applied", "facets"]

MAX_CHOICES = 100
"""Values that one facet offers; beyond that a shop offers its own choice."""
SIGNS = {"gte": "≥", "lte": "≤", "gt": ">", "lt": "<"}
USUAL = (
    *(gettext_noop("brand"), gettext_noop("category"), gettext_noop("color")),
    *(gettext_noop("colour"), gettext_noop("material"), gettext_noop("price")),
    *(gettext_noop("size"), gettext_noop("stock")),
)
"""Names of filters that the catalogues know; a shop translates others in its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetChoice:
    """One value that can be ticked."""

    value: str
    label: str
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """One filter: choices to tick, or a range to type."""

    name: str
    label: str
    kind: str
    """As in FilterSpec: number, text, boolean, relation or date."""
    choices: tuple[FacetChoice, ...] = ()
    minimum: str = ""
    maximum: str = ""
    kept: tuple[tuple[str, str], ...] = ()
    """Parameters that are set but have no control of their own."""

    @property
    def is_range(self) -> bool:
        """Whether it has a lower and an upper end."""
        return self.kind in {"number", "date"}

    @property
    def count(self) -> int:
        """How many values are set."""
        chosen = sum(choice.chosen for choice in self.choices)
        return chosen + bool(self.minimum) + bool(self.maximum) + len(self.kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One filter value that is set, and the address without it."""

    label: str
    url: str


def facets(form: SearchForm) -> list[Facet]:
    """Every filter of every source that has something to choose, with what the form has set."""
    found = [_facet(spec, form) for spec in specs().values()]
    return [facet for facet in found if facet.is_range or facet.choices or facet.kept]


def _facet(spec: FilterSpec, form: SearchForm) -> Facet:
    given, name = form.filters, spec.name
    facet = Facet(name=name, label=_label(name), kind=spec.kind)
    if facet.is_range:
        shown = {f"{name}__gte", f"{name}__lte"}
        minimum, maximum = (given.get(f"{name}__{o}", [""])[0] for o in ("gte", "lte"))
        facet = replace(facet, minimum=minimum, maximum=maximum)
    else:
        shown = {name}
        facet = replace(facet, choices=tuple(_choices(spec, given.get(name, []))))
    hidden = [key for key, _ in _parameters(facet) if key not in shown]
    return replace(facet, kept=tuple((key, v) for key in hidden for v in given.get(key, [])))


def _label(name: str) -> str:
    return capfirst(gettext(name.replace("_", " ")))


def _choices(spec: FilterSpec, chosen: list[str]) -> Iterator[FacetChoice]:
    pairs = _values(spec)
    for value, label in pairs:
        yield FacetChoice(value=value, label=label, chosen=value in chosen)
    known = {value for value, _ in pairs}
    for value in chosen:
        if value not in known:
            yield FacetChoice(value=value, label=value, chosen=True)


def _values(spec: FilterSpec) -> list[tuple[str, str]]:
    """Values that occur, with their labels, from the first source that knows them."""
    if spec.kind == "boolean":
        return [("1", gettext("yes")), ("0", gettext("no"))]
    for source in registry:
        if spec.name in source.filters and (found := _occurring(source, spec.name)):
            return found
    return []


def _occurring(source: ImageSource, name: str) -> list[tuple[str, str]]:
    path = source.paths[name]
    if path.lookup is None or path.field is None:
        return []
    rows = source.get_queryset()
    related: Any = path.field.related_model
    if related is not None:
        # One EXISTS per related row stops at the first picture; DISTINCT would read them all.
        used = Exists(rows.filter(**{path.lookup: OuterRef("pk")}))
        return [(str(o.pk), str(o)) for o in related._default_manager.filter(used)[:MAX_CHOICES]]
    labels = dict(path.field.flatchoices)
    values = rows.order_by(path.lookup).values_list(path.lookup, flat=True).distinct()
    return [(str(v), str(labels.get(v, v))) for v in values[:MAX_CHOICES] if v not in (None, "")]


def applied(form: SearchForm, shown: Iterable[Facet]) -> list[Applied]:
    """The filter values that are set, each with the address that drops it."""
    found = []
    for facet in shown:
        for name, sign in _parameters(facet):
            values = form.filters.get(name, [])
            for value in values:
                rest = [other for other in values if other != value] or None
                found.append(Applied(label=_say(facet, sign, value), url=form.link({name: rest})))
    return found


def _parameters(facet: Facet) -> list[tuple[str, str]]:
    """The names of a facet's parameters, each with the sign that it stands for."""
    return [(facet.name, ""), *((f"{facet.name}__{o}", SIGNS[o]) for o in OPERATORS)]


def _say(facet: Facet, sign: str, value: str) -> str:
    if sign:
        return f"{facet.label} {sign} {_write(facet.kind, value)}"
    return next((choice.label for choice in facet.choices if choice.value == value), value)


def _write(kind: str, value: str) -> str:
    """A number or a date as it is written in the visitor's language; as it is where it is none."""
    with suppress(ValueError, ArithmeticError):
        if kind == "number" and (number := Decimal(value)).is_finite():
            return localize(number)
        if kind == "date" and (day := parse_date(value)):
            return date_format(day, "SHORT_DATE_FORMAT")
    return value
