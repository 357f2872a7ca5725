"""Offer the filters of the shop's sources on the search page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.utils.dateparse import parse_date
from django.utils.formats import date_format, localize
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_noop

from mmsearch_app.searching import MAX_VALUE_LENGTH
from mmsearch_app.sources import (
    UNFIT,
    EnumType,
    FilterSpec,
    ImageSource,
    Path,
    Trees,
    label_of,
    paths,
    registry,
    specs,
    visible_rows,
)
from mmsearch_app.storefront.forms import OPERATORS, SearchForm

MAX_CHOICES = 100
"""Values that one facet offers at most."""
_MAX_VALUES_READ = 1000
"""Different values of a column, such as lists, from which a facet takes its values."""
SIGNS = {"gte": "≥", "lte": "≤", "gt": ">", "lt": "<"}
USUAL = (
    *(gettext_noop("brand"), gettext_noop("category"), gettext_noop("color")),
    *(gettext_noop("colour"), gettext_noop("material"), gettext_noop("price")),
    *(gettext_noop("size"), gettext_noop("stock")),
)
"""Usual filter names, so that our catalogues contain them; a shop translates its others."""


_INPUT_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
"""What `<input type="date">` shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetChoice:
    """One value to tick."""

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
    """Parameters that are set but have no control: they become hidden inputs."""

    @property
    def is_range(self) -> bool:
        return self.kind in {"number", "date"}

    @property
    def count(self) -> int:
        """The number of values that are set."""
        chosen = sum(choice.chosen for choice in self.choices)
        return chosen + bool(self.minimum) + bool(self.maximum) + len(self.kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A filter value that is set, and the address of the search without it."""

    label: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks: facets offer only the values of products that this visitor may see."""

    user: Any = None
    request: Any = None


def facets(form: SearchForm, visitor: Visitor) -> list[Facet]:
    """Return every filter with something to choose, and the values that the form has set."""
    found = [_facet(spec, form, visitor) for spec in specs().values()]
    return [facet for facet in found if facet.is_range or facet.choices or facet.kept]


def _facet(spec: FilterSpec, form: SearchForm, visitor: Visitor) -> Facet:
    given, name = form.filters, spec.name
    facet = Facet(name=name, label=_label(name), kind=spec.kind)
    if facet.is_range:
        ends = {key: given.get(key, [""])[0] for key in (f"{name}__gte", f"{name}__lte")}
        shown = {key for key, value in ends.items() if _fits_input(spec, value)}
        minimum, maximum = (value if key in shown else "" for key, value in ends.items())
        facet = replace(facet, minimum=minimum, maximum=maximum)
    else:
        shown = {name}
        facet = replace(facet, choices=tuple(_choices(spec, given.get(name, []), visitor)))
    hidden = [key for key, _ in _parameters(facet) if key not in shown]
    return replace(facet, kept=tuple((key, v) for key in hidden for v in given.get(key, [])))


def _fits_input(spec: FilterSpec, value: str) -> bool:
    """Return whether an input for numbers or days can show the value.

    A browser empties it otherwise, which is right for what is no value at all, but would lose the
    time of a day.
    """
    day = _INPUT_DAY.fullmatch(value) is not None
    return day or spec.kind == "number" or not _can_be_asked(spec, value)


def _label(name: str) -> str:
    return capfirst(gettext(name.replace("_", " ")))


def _choices(spec: FilterSpec, chosen: list[str], visitor: Visitor) -> Iterator[FacetChoice]:
    known = _known(spec, visitor)
    for value, label in known.items():
        yield FacetChoice(value=value, label=label, chosen=value in chosen)
    for value in chosen:
        if value not in known:
            yield FacetChoice(value=value, label=value, chosen=True)


def _known(spec: FilterSpec, visitor: Visitor) -> dict[str, str]:
    """Return the labels of the values that occur, by value; of booleans and Enums all values."""
    if spec.kind == "boolean":
        return {"1": gettext("yes"), "0": gettext("no")}
    if isinstance(spec.type, EnumType) and not any(path.lookup for path in spec.paths):
        return dict(spec.type.choices)
    found: dict[str, str] = {}
    for source in registry:
        if own := source.filter_specs.get(spec.name):
            seen = visible_rows(source, user=visitor.user, request=visitor.request, filters=None)
            rows = _open(seen)
            for value, label in _occurring(source, own, rows):
                if len(found) < MAX_CHOICES and _can_be_asked(spec, value):
                    found.setdefault(value, label)
    return found


def _open(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the same rows as a queryset that can be filtered and ordered in any way."""
    query = rows.query
    if query.is_sliced or query.combinator or query.distinct_fields:
        opened: QuerySet[Any] = rows.model._base_manager.filter(pk__in=rows.values("pk"))
        return opened
    return rows


def _can_be_asked(spec: FilterSpec, value: str) -> bool:
    """Whether a link or a form can carry the value, so that its products are found."""
    if not 0 < len(value) <= MAX_VALUE_LENGTH:
        return False
    try:
        spec.type.parse(value)
    except UNFIT:
        return False
    return True


def _occurring(
    source: ImageSource, spec: FilterSpec, rows: QuerySet[Any]
) -> Iterator[tuple[str, str]]:
    """Yield the values of these rows with their labels; none of paths through properties."""
    for position, path in enumerate(spec.paths):
        if path.lookup is None:
            continue
        if spec.ancestors:
            pairs = _in_tree(source, spec, position, rows)
        elif path.field.is_relation:
            used = _used(rows, path.lookup, path.field.related_model)
            offered = used.filter(spec.limit_choices_to)[:MAX_CHOICES]
            pairs = ((found, label_of(source, found)) for found in offered)
        else:
            pairs = _in_column(path, spec, rows)
        for value, label in pairs:
            with suppress(*UNFIT):
                text = str(spec.type.read(value))
                yield text, label or text


def _used(rows: QuerySet[Any], lookup: str, model: Any) -> QuerySet[Any]:
    # One EXISTS per related row stops at the first image; DISTINCT would read them all.
    used = Exists(rows.filter(**{f"{lookup}__pk": OuterRef("pk")}))
    return model._default_manager.filter(used)  # type: ignore[no-any-return]


def _in_tree(
    source: ImageSource, spec: FilterSpec, position: int, rows: QuerySet[Any]
) -> Iterator[tuple[Any, str]]:
    """Yield the values of the objects that occur, and of those above them."""
    to_node, from_node = spec.nodes[position]
    path = paths.resolve(source.model, to_node)
    model, trees = path.field.related_model, Trees()
    used = _used(rows, path.lookup or "", model)
    keys = {node.pk for found in used for node in trees.with_ancestors(found, spec.ancestors)}
    offered = model._default_manager.filter(spec.limit_choices_to, pk__in=keys)
    for node in offered[:MAX_CHOICES]:
        for value in paths.read(node, from_node) if from_node else (node,):
            yield value, label_of(source, node)


def _in_column(path: Path, spec: FilterSpec, rows: QuerySet[Any]) -> Iterator[tuple[Any, str]]:
    """Yield the values of a column and their labels, if the field or the Enum has choices."""
    field, lookup = path.field, path.lookup or ""
    choices = getattr(getattr(field, "base_field", field), "flatchoices", ())
    labels = dict(spec.type.choices if isinstance(spec.type, EnumType) else choices)
    named = {str(value): str(label) for value, label in labels.items()}
    values = rows.order_by(lookup).values_list(lookup, flat=True).distinct()
    for value in paths.elements(list(values[:_MAX_VALUES_READ])):
        yield value, named.get(str(value), "")


def applied(form: SearchForm, shown: Iterable[Facet]) -> list[Applied]:
    """Return the filter values that are set."""
    found = []
    for facet in shown:
        for name, sign in _parameters(facet):
            values = form.filters.get(name, [])
            for value in values:
                rest = [other for other in values if other != value] or None
                found.append(
                    Applied(label=_describe(facet, sign, value), url=form.link({name: rest}))
                )
    return found


def _parameters(facet: Facet) -> list[tuple[str, str]]:
    """Return the names of a facet's parameters, each with its sign of comparison."""
    return [(facet.name, ""), *((f"{facet.name}__{o}", SIGNS[o]) for o in OPERATORS)]


def _describe(facet: Facet, sign: str, value: str) -> str:
    if sign:
        return f"{facet.label} {sign} {_write(facet.kind, value)}"
    return next((choice.label for choice in facet.choices if choice.value == value), value)


def _write(kind: str, value: str) -> str:
    """Write a number or date in the visitor's language; return any other value unchanged."""
    with suppress(ValueError, ArithmeticError):
        if kind == "number" and (number := Decimal(value)).is_finite():
            return localize(number)
        if kind == "date" and (day := parse_date(value)):
            return date_format(day, "SHORT_DATE_FORMAT")
    return value
