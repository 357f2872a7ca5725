"""What a query may filter on: the shop's declaration, its type, and the values of a row."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from django.conf import settings
from django.db import models
from django.db.models import Model, Q
from django.utils import translation

from mmsearch_app.sources import paths
from mmsearch_app.sources.fields import element_of, type_declared, type_of_field, why_impossible
from mmsearch_app.sources.moments import InstantType
from mmsearch_app.sources.paths import Path
from mmsearch_app.sources.types import UNFIT, DecimalType, Kind, TextType, ValueType

if TYPE_CHECKING:
    from mmsearch_app.indexes import Scalar
    from mmsearch_app.sources.base import ImageSource

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, init=False)
class Filter:
    """A filter with more than one path, or with a type that Django cannot know.

    `Filter("product.on_sale", type=bool)`: the path may lead through properties, methods and the
    keys of JSON. `type` is bool, int, float, Decimal, str, date, datetime, UUID, an Enum or a
    model; without it the model field at the end of the path decides. With several paths, any of
    them may match; without any, override `get_filters`.

    `Filter(using=margin_of, type=Decimal)`: a function that takes a row of the source and returns
    its value or values.

    `Filter("product.categories", ancestors="parent")` also finds what is in a category below:
    `ancestors` names the field that leads to the parent, or a method that returns all ancestors.
    `limit_choices_to=Q(is_public=True)`: which related objects the page offers, as in a foreign
    key of Django.
    """

    paths: tuple[str, ...]
    type: builtins.type | None
    ancestors: str
    using: Callable[[Any], Any] | None
    limit_choices_to: Q

    def __init__(
        self,
        *paths: str | Sequence[str],
        type: builtins.type | None = None,
        ancestors: str = "",
        using: Callable[[Any], Any] | None = None,
        limit_choices_to: Q | None = None,
    ) -> None:
        given: list[str] = []
        for path in paths:
            given += [path] if isinstance(path, str) else path
        if not all(isinstance(path, str) and path for path in given):
            msg = f"a filter is a path, a list of paths or a Filter, not {paths!r}."
            raise TypeError(msg)
        object.__setattr__(self, "paths", tuple(given))
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "ancestors", ancestors)
        object.__setattr__(self, "using", using)
        object.__setattr__(self, "limit_choices_to", limit_choices_to or Q())


Declared: TypeAlias = str | Sequence[str] | Filter
"""What a source may write for a filter."""


def as_filter(declared: Declared) -> Filter:
    """Return a source's declaration as a `Filter`; anything else is one without a path."""
    if isinstance(declared, Filter):
        return declared
    try:
        return Filter(declared)
    except TypeError:
        return Filter()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSpec:
    """A filter of one source, with the type of its values."""

    name: str
    type: ValueType
    many: bool
    """Whether one product can have several values."""
    paths: tuple[Path, ...]
    using: Callable[[Any], Any] | None
    """Returns the value or values of a row that are on no path."""
    limit_choices_to: Q
    """Which related objects the page offers."""
    ancestors: str = ""
    nodes: tuple[tuple[str, str], ...] = ()
    """If objects have ancestors: the paths to them, each with the path from them to the value."""
    plain: bool = False
    """Whether a column, which is part of a row's signature, says all about its values."""
    fault: str = ""
    """Why this cannot be a filter; it is then compared as text."""

    def __str__(self) -> str:
        """Return the declaration; the same text means the same values of a row in the index."""
        dotted = ",".join(path.dotted for path in self.paths)
        computed = f":{getattr(self.using, '__qualname__', '')}" if self.using else ""
        return f"{self.name}={dotted}:{self.type}:{self.ancestors}{computed}"

    @property
    def kind(self) -> Kind:
        return self.type.kind


def resolve_filter(
    model: type[Model], name: str, declared: Filter, found: Sequence[Path]
) -> FilterSpec:
    """Return the filter as its declaration and the fields at the end of its paths describe it."""
    kind: ValueType = TextType()
    try:
        kind, fault = _type_of(declared, found), ""
    except TypeError as error:
        fault = str(error)
    except Exception as error:  # a field of a library, which may lack anything
        fault = f"its field raises {type(error).__name__}: {error}"
    link = declared.ancestors
    nodes = [_split_at_node(model, path) for path in found] if link else []
    if link and not fault:
        fault = _tree_fault(link, [(owner, dotted) for owner, dotted, _ in nodes])
    return FilterSpec(
        name=name,
        type=kind,
        many=len(found) > 1 or bool(link or declared.using) or any(map(_is_many, found)),
        paths=tuple(found),
        using=declared.using,
        limit_choices_to=declared.limit_choices_to,
        ancestors=link,
        nodes=tuple((to_node, from_node) for _, to_node, from_node in nodes),
        plain=declared == Filter(*declared.paths[:1]) and not isinstance(kind, InstantType),
        fault=fault,
    )


def _is_many(path: Path) -> bool:
    field = path.field
    return path.many or isinstance(field, models.JSONField) or element_of(field) is not None


def _type_of(declared: Filter, found: Sequence[Path]) -> ValueType:
    """Return the type of the values. Raises TypeError, which says what is wrong."""
    if declared.using is not None and not callable(declared.using):
        msg = f"using = {declared.using!r} is no function that takes a row"
        raise TypeError(msg)
    for path in found:
        if fault := why_impossible(path.field):
            msg = f"the path {path.dotted!r} leads to {fault}"
            raise TypeError(msg)
    if declared.type is not None:
        return type_declared(declared.type)
    types = []
    for path in found:
        kind = None if path.field is None else type_of_field(path.field)
        if kind is None:
            msg = f"Django cannot tell of what type the values of {path.dotted!r} are"
            raise TypeError(msg)
        types.append(kind)
    return _common(types)


def _common(types: Sequence[ValueType]) -> ValueType:
    """Return the type of all paths' values. Raises TypeError if there is none."""
    if types and all(other == types[0] for other in types):
        return types[0]
    if types and all(other.kind == "number" for other in types):
        return DecimalType()
    msg = "its paths lead to values of different types" if types else "it has no path"
    raise TypeError(msg)


def _tree_fault(name: str, spec_paths: Iterable[tuple[Any, str]]) -> str:
    """Return why objects at the end of the paths have no such ancestors, or ""."""
    for model, dotted in spec_paths:
        if model is None:
            continue
        field = paths.find(model, name)
        leads_to_itself = field is not None and field.is_relation and field.related_model is model
        if not leads_to_itself and not callable(getattr(model, name, None)):
            return (
                f"ancestors = {name!r}: {model._meta.label}, where {dotted!r} leads, has neither a "
                "foreign key to itself nor a method of that name"
            )
    return ""


def _split_at_node(model: type[Model], path: Path) -> tuple[Any, str, str]:
    """Return the model of the object that has ancestors, and the path to it and from it on.

    That is the last relation of the path. Without one the path ends at the object, whose model is
    not known (None).
    """
    parts = path.dotted.split(".")
    for end in range(len(parts), 0, -1):
        field = paths.resolve(model, ".".join(parts[:end])).field
        if field is not None and field.is_relation:
            return field.related_model, ".".join(parts[:end]), ".".join(parts[end:])
    return None, path.dotted, ""


class Trees:
    """The ancestors of objects: each tree that a foreign key makes is read once."""

    def __init__(self) -> None:
        self._tables: dict[Any, dict[Any, Model]] = {}
        self._found: dict[Any, list[Any]] = {}

    def with_ancestors(self, node: Model, link: str, *, path: str = "") -> list[Any]:
        """Return an object and all above it. `link` is a foreign key to the parent, or a method.

        `path` says what will be read of them, beside their keys.
        """
        key = (type(node), link, node.pk)
        if key not in self._found:
            field = paths.find(type(node), link)
            is_key = isinstance(field, models.ForeignKey)
            above = self._climb(node, field, path) if is_key else paths.read(node, link)
            self._found[key] = [node, *(other for other in above if other != node)]
        return self._found[key]

    def _climb(self, node: Model, field: Any, path: str) -> Iterator[Model]:
        table, seen = self._table(node, field, path), {node.pk}
        parent = table.get(getattr(node, field.attname))
        while parent is not None and parent.pk not in seen:
            seen.add(parent.pk)
            yield parent
            parent = table.get(getattr(parent, field.attname))

    def _table(self, node: Model, field: Any, path: str) -> dict[Any, Model]:
        """Return the tree's rows by the key that children have, from the node's own database."""
        key = (field, path, database := node._state.db)
        if key not in self._tables:
            model, target = field.related_model, field.target_field.attname
            rows = model._base_manager.using(database)
            read = paths.find(model, path) if path else None
            if not path or (read is not None and read.concrete and not read.is_relation):
                rows = rows.only("pk", field.name, target, *([path] if path else []))
            self._tables[key] = {getattr(row, target): row for row in rows}
        return self._tables[key]


def read_filter(row: Model, spec: FilterSpec, trees: Trees) -> Iterator[Any]:
    """Yield the values of a row's filter as the shop's objects have them."""
    if spec.using is not None:
        yield from paths.elements(spec.using(row))
    if not spec.ancestors:
        for path in spec.paths:
            yield from paths.read(row, path.dotted)
    for to_node, from_node in spec.nodes:
        for node in paths.read(row, to_node):
            for each in trees.with_ancestors(node, spec.ancestors, path=from_node):
                yield from paths.read(each, from_node) if from_node else (each,)


class FilterReader:
    """Reads typed values of filters from rows of one source that were fetched together."""

    def __init__(self, source: ImageSource) -> None:
        self.source = source
        self._trees = Trees()

    def values(self, row: Model, name: str, *, faults: list[str] | None = None) -> list[Any]:
        """Return the values in their comparable form, each once.

        Those that are not of the filter's type are left out, and added to `faults` as a sentence.
        Raises what the shop's code raises.
        """
        spec = self.source.filter_specs[name]
        found: dict[Any, None] = {}
        with translation.override(settings.LANGUAGE_CODE):  # as in every process, for every visitor
            for raw in self.source.read_filter(row, name, self._trees):
                try:
                    found[spec.type.read(raw)] = None
                except UNFIT as error:
                    if faults is not None:
                        faults.append(f"The filter {name!r} leaves out a value: {error}.")
        return list(found)

    def scalars(self, row: Model) -> tuple[dict[str, list[Scalar]], str]:
        """Return what the index stores of each filter, and a sentence about values left out."""
        faults: list[str] = []
        found: dict[str, list[Scalar]] = {}
        for name, spec in self.source.filter_specs.items():
            values = self.values(row, name, faults=faults)
            found[name] = [scalar for value in values for scalar in spec.type.scalars(value)]
        if faults:
            log.warning("%r: %s", row, " ".join(faults))
        return found, " ".join(faults)
