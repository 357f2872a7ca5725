"""Which type the values of a model field have, or of what a shop declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Model

from mmsearch_app.sources.moments import DateType, InstantType
from mmsearch_app.sources.types import (
    BoolType,
    DecimalType,
    EnumType,
    FloatType,
    IntType,
    RelationType,
    TextType,
    UUIDType,
    ValueType,
)

_DECLARED: Mapping[type, ValueType] = {
    bool: BoolType(),
    int: IntType(),
    float: FloatType(),
    Decimal: DecimalType(),
    str: TextType(),
    date: DateType(),
    datetime: InstantType(),
    UUID: UUIDType(),
}
TYPES = "bool, int, float, Decimal, str, date, datetime, UUID, an Enum or a model"
"""What `Filter(…, type=…)` takes, for a message."""
_ONE_WAY_TO_WRITE = (models.TimeField, models.DurationField, models.GenericIPAddressField)
_TEXTS = (models.CharField, models.TextField, models.FileField, models.FilePathField)


def type_declared(given: Any) -> ValueType:
    if isinstance(given, type):
        if given in _DECLARED:
            return _DECLARED[given]
        if issubclass(given, Enum):
            return EnumType(enum=given)
        if issubclass(given, Model):
            return RelationType(model=given, key=_key_type(given))
    msg = f"type = {given!r} is not one of {TYPES}"
    raise TypeError(msg)


def why_impossible(field: Any) -> str:
    """Return what the values of a field are if no type makes a filter of them, else ""."""
    if isinstance(field, models.BinaryField):
        return "bytes"
    if isinstance(field, models.CompositePrimaryKey):
        return "a key of several columns"
    if hasattr(field, "range_type"):
        return "ranges; name a property that returns one end"
    is_store = any(base.__name__ == "HStoreField" for base in type(field).__mro__)
    is_json = isinstance(field, models.JSONField) and field.has_default()
    if is_store or (is_json and isinstance(field.get_default(), dict)):
        return "dicts; name a key, such as 'attributes.colour'"
    return ""


def type_of_field(field: Any) -> ValueType | None:
    """Return the type of a model field's values, or None if nothing is known of them."""
    if (element := element_of(field)) is not None:
        return type_of_field(element)
    if isinstance(field, models.GeneratedField):
        return type_of_field(field.output_field)
    if field.is_relation:
        model = field.related_model
        return RelationType(model=model, key=_key_type(model))
    if isinstance(field, models.DecimalField):
        return DecimalType(digits=field.max_digits, places=field.decimal_places or 0)
    if isinstance(field, _ONE_WAY_TO_WRITE):
        return TextType(convert=field.to_python)
    return next((kind for base, kind in _of_fields() if isinstance(field, base)), None)


def _of_fields() -> Iterator[tuple[Any, ValueType]]:
    yield models.BooleanField, BoolType()
    yield models.DateTimeField, InstantType()
    yield models.DateField, DateType()
    yield models.IntegerField, IntType()
    yield models.FloatField, FloatType()
    yield models.UUIDField, UUIDType()
    yield (*_TEXTS, models.JSONField), TextType()


def element_of(field: Any) -> Any:
    """Return the field of an array's elements, or None if the field is no array."""
    return None if hasattr(field, "range_type") else getattr(field, "base_field", None)


def _key_type(model: type[Model]) -> ValueType:
    field: Any = model._meta.pk
    while field.is_relation:
        field = field.target_field
    kind = type_of_field(field)
    if kind is None:
        msg = f"the primary key of {model._meta.label} can be no filter"
        raise TypeError(msg)
    return kind
