"""Types of filter values: what a row's value and a visitor's value mean, and how both compare."""

from __future__ import annotations

import hashlib
import math
import sys
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils import translation
from django.utils.functional import Promise

if TYPE_CHECKING:
    from mmsearch_app.indexes import Operator, Scalar

Kind: TypeAlias = Literal["number", "boolean", "date", "relation", "text"]
Bound: TypeAlias = "tuple[Operator, float]"

UNFIT = (ValidationError, LookupError, TypeError, ValueError, ArithmeticError)
"""What a type raises for a value that is not of it."""
_MOST = sys.float_info.max
_LARGEST_KEY = 2**63
_EXACT_DIGITS = 15
"""Two decimals of that many digits are never the same double."""
_LONGEST_TEXT = 255
"""Longer texts are compared in the index by their hash."""
_BOOLEANS = {"true": True, "1": True, "on": True, "yes": True} | {
    "false": False, "0": False, "off": False, "no": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """What a visitor's value stands for: all values from `first` to `last`, both included."""

    first: Any
    last: Any
    day: str = ""
    """The ISO date, if the span is a day of moments."""


class ValueType(ABC):
    """How a filter's values are read from rows, understood from visitors, indexed and compared.

    `read` and `parse` return the same comparable form. Both raise one of `UNFIT` for a value that
    does not fit the type.
    """

    kind: ClassVar[Kind] = "text"

    def __str__(self) -> str:
        return type(self).__name__

    @property
    def ordered(self) -> bool:
        """Whether values can be compared with gt, gte, lt and lte."""
        return self.kind in ("number", "date")

    @abstractmethod
    def read(self, value: Any) -> Any:
        """Return the comparable form of a row's value."""

    def parse(self, value: Any, *, bound: bool = False) -> Span:
        """Return what a visitor's value stands for; with `bound`, as the end of a range."""
        found = self.read(value)
        if "\0" in str(found):
            msg = "a NUL character, which databases refuse"
            raise ValueError(msg)
        return Span(found, found)

    def scalars(self, value: Any) -> list[Scalar]:
        """Return what the index stores of a value in its comparable form."""
        return [value]

    def equal(self, wanted: Span) -> Scalar:
        """Return the scalar that the index stores of the values of this span."""
        return self.scalars(wanted.first)[0]

    def limit(self, operator: Operator, wanted: Span) -> Bound:
        """Return a comparison for the index that no value fails which passes the exact one.

        Types that are `ordered` override it; a query that compares others is refused before.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class BoolType(ValueType):
    kind = "boolean"

    def read(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        return _BOOLEANS[_text(value).lower()]


@dataclass(frozen=True)
class TextType(ValueType):
    convert: Callable[[Any], Any] | None = None
    """The field's `to_python`, if it has one way to write a value."""

    def read(self, value: Any) -> str:
        return _text(value if self.convert is None else self.convert(value))

    def scalars(self, value: str) -> list[Scalar]:
        if len(value) <= _LONGEST_TEXT:
            return [value]
        return [f"blake2b:{hashlib.blake2b(value.encode(), digest_size=32).hexdigest()}"]


@dataclass(frozen=True)
class EnumType(TextType):
    enum: type[Enum] = Enum

    def read(self, value: Any) -> str:
        given = _text(value)
        if not any(given == _text(member) for member in self.enum):
            msg = f"{given!r} is none of {self.enum.__name__}"
            raise ValueError(msg)
        return given

    @property
    def choices(self) -> list[tuple[str, str]]:
        return [(_text(member), str(getattr(member, "label", member.name))) for member in self.enum]


@dataclass(frozen=True)
class UUIDType(ValueType):
    def read(self, value: Any) -> str:
        return str(value if isinstance(value, uuid.UUID) else uuid.UUID(_text(value)))


@dataclass(frozen=True)
class RelationType(ValueType):
    """A related object, known by its primary key."""

    kind = "relation"
    model: type[Model]
    key: ValueType

    def __str__(self) -> str:
        return f"{self.model._meta.label} by {self.key}"

    def read(self, value: Any) -> Any:
        return self.key.read(self._key_of(value))

    def parse(self, value: Any, *, bound: bool = False) -> Span:
        return self.key.parse(self._key_of(value), bound=bound)

    def scalars(self, value: Any) -> list[Scalar]:
        return self.key.scalars(value)

    def equal(self, wanted: Span) -> Scalar:
        return self.key.equal(wanted)

    def _key_of(self, value: Any) -> Any:
        if not isinstance(value, Model):
            return value
        concrete: Any = self.model._meta.concrete_model
        if not issubclass(type(value)._meta.concrete_model or type(value), concrete):
            msg = f"{value!r} is no {self.model._meta.label}"
            raise TypeError(msg)
        key: Any = concrete._meta.pk
        return getattr(value, key.attname)


class Steps(ValueType):
    """Values that are whole numbers of some unit, so that every strict bound has a next value."""

    scale: ClassVar[int] = 1
    """Units in one of the index's numbers."""

    def limit(self, operator: Operator, wanted: Span) -> Bound:
        match operator:
            case "gt":
                return "gte", self._number(math.floor(wanted.last) + 1)
            case "gte":
                return "gte", self._number(math.ceil(wanted.first))
            case "lt":
                return "lte", self._number(math.ceil(wanted.first) - 1)
            case _:
                return "lte", self._number(math.floor(wanted.last))

    def _number(self, steps: int) -> float:
        return _double(steps) if self.scale == 1 else steps / self.scale


@dataclass(frozen=True)
class IntType(Steps):
    kind = "number"

    def read(self, value: Any) -> int:
        number = _number(value)
        if number != int(number):
            msg = f"{number} is no whole number"
            raise ValueError(msg)
        return int(number)

    def parse(self, value: Any, *, bound: bool = False) -> Span:
        number: Any = _number(value)
        if not bound and abs(number) > _LARGEST_KEY:
            msg = "too large for any column"
            raise ValueError(msg)
        number = int(number) if number == int(number) else number
        return Span(number, number)

    def equal(self, wanted: Span) -> Scalar:
        return wanted.first if isinstance(wanted.first, int) else float(wanted.first)


@dataclass(frozen=True)
class FloatType(ValueType):
    kind = "number"

    def read(self, value: Any) -> float:
        return float(_number(value))

    def parse(self, value: Any, *, bound: bool = False) -> Span:
        number = float(_number(value))
        return Span(number, number)

    def limit(self, operator: Operator, wanted: Span) -> Bound:
        return operator, wanted.first


@dataclass(frozen=True)
class DecimalType(ValueType):
    kind = "number"
    digits: int | None = None
    """The most digits that a value has, if that is known."""
    places: int = 0

    def read(self, value: Any) -> Decimal:
        return _decimal(_number(value))

    def parse(self, value: Any, *, bound: bool = False) -> Span:
        number = _decimal(_number(value))
        if not bound and self.digits and abs(number) >= Decimal(10) ** (self.digits - self.places):
            msg = "too large for the column"
            raise ValueError(msg)
        return Span(number, number)

    def scalars(self, value: Decimal) -> list[Scalar]:
        return [float(value)]

    def limit(self, operator: Operator, wanted: Span) -> Bound:
        """Let a strict comparison include its bound, unless doubles can tell the two apart."""
        number = float(wanted.first)
        exact = self.digits and self.digits <= _EXACT_DIGITS and _decimal(number) == wanted.first
        loose: dict[Operator, Operator] = {"gt": "gte", "lt": "lte"}
        return (operator if exact else loose.get(operator, operator)), number


def _text(value: Any) -> str:
    """Return a value's text: stripped, in the default language, numbers and booleans as in JSON.

    Raises ValueError for what is no single value, and for text that cannot be encoded.
    """
    value = value.value if isinstance(value, Enum) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Real | Decimal):
        number = _number(value)
        return str(int(number) if number == int(number) else number)
    if value is None or isinstance(value, Mapping | list | set | bytes | bytearray | memoryview):
        msg = f"a {type(value).__name__} is no single value"
        raise ValueError(msg)
    if isinstance(value, Promise):
        with translation.override(settings.LANGUAGE_CODE):
            value = str(value)
    text = str(value).strip()
    text.encode()
    return text


def _number(value: Any) -> int | float | Decimal:
    """Return a number, the number that a text contains, or the amount of money.

    Raises ValueError or ArithmeticError if it is none, not finite, too large for a double, or a
    boolean.
    """
    value = value.value if isinstance(value, Enum) else value
    if isinstance(value, bool):
        msg = "a boolean is no number"
        raise TypeError(msg)
    number: Any
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, Integral):
        number = int(value)
    elif isinstance(value, Real):
        number = float(value)
    elif isinstance(value, str):
        number = Decimal(value.strip())
    else:
        number = getattr(value, "amount", None)
    if not isinstance(number, int | float | Decimal) or not -_MOST <= number <= _MOST:
        msg = f"{str(value)[:_LONGEST_TEXT]!r} is no finite number"
        raise ValueError(msg)
    return number


def _decimal(number: float | Decimal) -> Decimal:
    return Decimal(str(number)) if isinstance(number, float) else Decimal(number)


def _double(number: int) -> float:
    return float(max(min(number, int(_MOST)), -int(_MOST)))
