"""The types of days and moments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from mmsearch_app.sources.types import Span, Steps

if TYPE_CHECKING:
    from mmsearch_app.indexes import Scalar

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class DateType(Steps):
    """Days, as their number since 1970. A moment is its day in the default time zone."""

    kind = "date"

    def __str__(self) -> str:
        return f"{type(self).__name__} in {settings.TIME_ZONE}"

    def read(self, value: Any) -> int:
        return _day_of(_moment(value)).toordinal() - _EPOCH.toordinal()

    def scalars(self, value: int) -> list[Scalar]:
        return [float(value * _DAY)]

    def _number(self, steps: int) -> float:
        return float(steps * _DAY)


@dataclass(frozen=True)
class InstantType(Steps):
    """Moments, as microseconds since 1970 (UTC); a bare day of a visitor is the whole day.

    Days and naive times are those of the default time zone.
    """

    kind = "date"
    scale = 1_000_000

    def __str__(self) -> str:
        return f"{type(self).__name__} in {settings.TIME_ZONE}"

    def read(self, value: Any) -> int:
        moment = _moment(value)
        return _microseconds(moment) if isinstance(moment, datetime) else _start(moment)

    def parse(self, value: Any, *, bound: bool = False) -> Span:
        moment = _moment(value)
        if isinstance(moment, datetime):
            found = _microseconds(moment)
            return Span(found, found)
        return Span(_start(moment), _end(moment), moment.isoformat())

    def scalars(self, value: int) -> list[Scalar]:
        """Return the seconds since 1970, and the day, by which the whole day is found."""
        try:
            day = _day_of(_EPOCH + value * _MICROSECOND)
        except OverflowError:  # an end of the calendar, in another zone than UTC
            day = date.max if value > 0 else date.min
        return [value / self.scale, day.isoformat()]

    def equal(self, wanted: Span) -> Scalar:
        return wanted.day or wanted.first / self.scale


def _moment(value: Any) -> date | datetime:
    """Return a day or a moment. Raises TypeError or ValueError if the value is neither."""
    if isinstance(value, str):
        text = value.strip()
        value = parse_date(text) or parse_datetime(text)
    if not isinstance(value, date):
        msg = "no date in the form 2026-11-28, with a time or without"
        raise TypeError(msg)
    return value


def _aware(moment: datetime) -> datetime:
    zone = timezone.get_default_timezone()
    return moment.replace(tzinfo=zone) if timezone.is_naive(moment) else moment


def _microseconds(moment: datetime) -> int:
    return (_aware(moment) - _EPOCH) // _MICROSECOND


def _day_of(moment: date | datetime) -> date:
    """Return the day of a moment in the default time zone, or a day unchanged."""
    if not isinstance(moment, datetime):
        return moment
    if timezone.is_naive(moment):
        return moment.date()
    return moment.astimezone(timezone.get_default_timezone()).date()


def _start(day: date) -> int:
    return _microseconds(datetime.combine(day, time.min))


def _end(day: date) -> int:
    """Return the last microsecond of a day, which has 23 or 25 hours if the clocks change."""
    if day == date.max:
        return _start(day) + _DAY * InstantType.scale - 1
    return _start(day + timedelta(days=1)) - 1
