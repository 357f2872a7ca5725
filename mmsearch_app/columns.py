"""Which columns a source depends on, so that a save of others need not be noticed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from django.apps import apps
from django.db.models import Field, ManyToManyField, Model, QuerySet, Value
from django.db.models.expressions import Col
from django.db.models.sql import Query
from django.db.models.sql.where import WhereNode

from mmsearch_app import paths
from mmsearch_app.sources import ImageSource

__all__ = ["concerns"]

_OWN_CODE = ("get_file", "get_product", "get_title", "get_filters")


class _Unknown(Exception):
    """Something takes part whose columns cannot be told."""


def concerns(source: ImageSource, model: type[Model], names: Collection[str]) -> bool:
    """Whether a save of these fields of `model` can matter to the source.

    False only where that is certain: the source reads its rows by paths of fields alone and
    none of them, nor a condition of its queryset, passes by these fields. A property, a method
    of the shop's own or raw SQL may depend on anything.
    """
    try:
        known = {*_of_paths(source), *_of_queryset(source.get_queryset())}
    except Exception:  # the shop's own code runs here, inside the shop's own save
        return True
    own = model._meta.concrete_fields
    return not known.isdisjoint(
        field for field in own if field.name in names or field.attname in names
    )


def _of_paths(source: ImageSource) -> Iterator[Field[Any, Any]]:
    if any(getattr(type(source), name) is not getattr(ImageSource, name) for name in _OWN_CODE):
        raise _Unknown
    for name, path in source.paths.items():
        yield from _along(source.model, path.dotted)
        if path.field is not None and path.field.is_relation and name in ("@image", "@title"):
            raise _Unknown  # the text of a related row
    for label, dotted in source.depends_on.items():
        yield from _along(apps.get_model(label), dotted)


def _along(model: Any, dotted: str) -> Iterator[Field[Any, Any]]:
    """Every column that the path passes, those that hold its links among them."""
    for part in dotted.split("."):
        field = paths.find(model, part)
        if field is None or (field.is_relation and field.related_model is None):
            raise _Unknown
        if field.many_to_many:
            forward = isinstance(field, ManyToManyField)  # on Django 6 it is not `concrete`
            declared = field if forward else field.field
            yield from declared.remote_field.through._meta.concrete_fields
        else:
            yield field if field.concrete else field.field
        model = field.related_model


def _of_queryset(rows: QuerySet[Any]) -> Iterator[Field[Any, Any]]:
    query = rows.query
    if query.combinator or query.is_sliced or query.extra or query.distinct_fields:
        raise _Unknown
    yield from _of_query(query)


def _of_query(query: Query) -> Iterator[Field[Any, Any]]:
    for join in query.alias_map.values():
        if getattr(join, "filtered_relation", None) is not None:
            raise _Unknown
        if (link := getattr(join, "join_field", None)) is not None:
            for pair in link.related_fields:
                yield from pair
    for node in (query.where, *query.annotations.values()):
        yield from _within(node)


def _within(node: Any) -> Iterator[Field[Any, Any]]:
    """Every column in a condition or an expression."""
    if isinstance(node, Col):
        yield node.target
        return
    if isinstance(node, Query):
        yield from _of_query(node)
        return
    values = getattr(node, "rhs", None)
    inner = [part for part in node.get_source_expressions() if part is not None]
    inner += [v for v in values if hasattr(v, "as_sql")] if isinstance(values, list | tuple) else []
    if not inner and not isinstance(node, Value | WhereNode):
        raise _Unknown
    for part in inner:
        yield from _within(part)
