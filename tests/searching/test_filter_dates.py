"""Days and moments: a bare day is the whole day, in the default time zone, however it is asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone as django_timezone

from mmsearch_app import search
from mmsearch_app.searching.query import InvalidQuery
from mmsearch_app.sources.moments import InstantType
from tests.gadgets import Invent, found, found_everywhere

pytestmark = pytest.mark.django_db
BERLIN = ZoneInfo("Europe/Berlin")
Live = Callable[..., None]


@pytest.fixture(params=[True, False], ids=["aware", "naive"])
def live(request: Any, settings: Any) -> Live:
    """Move the shop to a time zone, with USE_TZ on and off; call it before anything is saved."""

    def move(zone: str) -> None:
        settings.USE_TZ = request.param
        settings.TIME_ZONE = zone

    return move


def local(*parts: int, zone: str = "Europe/Berlin") -> datetime:
    """A moment as the shop stores it, with USE_TZ on or off."""
    moment = datetime(*parts)  # type: ignore[arg-type]
    return moment.replace(tzinfo=ZoneInfo(zone)) if settings.USE_TZ else moment


DAY = "2026-11-28"


@pytest.fixture
def week(live: Live, invent: Invent) -> None:
    """Made on the 27th just before midnight, on the 28th at four times, on the 29th at 0:00."""
    live("Europe/Berlin")
    invent("eve gadget", made=local(2026, 11, 27, 23, 59, 59, 999999))
    invent("start gadget", made=local(2026, 11, 28))
    invent("noon gadget", made=local(2026, 11, 28, 12))
    invent("end gadget", made=local(2026, 11, 28, 23, 59, 59, 999999))
    invent("next gadget", made=local(2026, 11, 29))
    invent("never gadget")


ON_THE_DAY = {"start", "noon", "end"}


@pytest.mark.usefixtures("week")
def test_a_bare_day_is_the_whole_day_for_every_operator(client: Client) -> None:
    for name in ("made", "made_on"):
        assert found_everywhere(client, **{name: DAY}) == ON_THE_DAY
        assert found_everywhere(client, **{f"{name}__lte": DAY}) == {"eve", *ON_THE_DAY}
        assert found_everywhere(client, **{f"{name}__lt": DAY}) == {"eve"}
        assert found_everywhere(client, **{f"{name}__gte": DAY}) == {"next", *ON_THE_DAY}
        assert found_everywhere(client, **{f"{name}__gt": DAY}) == {"next"}
        assert found(**{f"{name}__in": [DAY, date(2026, 11, 29)]}) == {"next", *ON_THE_DAY}
        assert found(**{name: date(2026, 11, 28)}) == ON_THE_DAY
        assert found_everywhere(client, **{f"{name}__gte": DAY, f"{name}__lte": DAY}) == ON_THE_DAY


@pytest.mark.usefixtures("week")
@pytest.mark.parametrize(
    "noon",
    [
        "2026-11-28T12:00",
        "2026-11-28 12:00:00",
        "2026-11-28T11:00:00Z",
        "2026-11-28T12:00:00+01:00",
        datetime(2026, 11, 28, 12),
        datetime(2026, 11, 28, 11, tzinfo=UTC),
        datetime(2026, 11, 28, 16, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    ],
)
def test_a_moment_aware_or_naive_is_exact(noon: Any) -> None:
    with django_timezone.override("Asia/Tokyo"):  # of the visitor: it does not count
        assert found(made=noon) == {"noon"}
        assert found(made__lt=noon) == {"eve", "start"}
        assert found(made__lte=noon) == {"eve", "start", "noon"}
        assert found(made__gt=noon) == {"end", "next"}
        assert found(made__gte=noon) == {"noon", "end", "next"}
        assert found(made_on=noon) == ON_THE_DAY


def test_a_day_without_time_is_compared_by_its_date(
    client: Client, live: Live, invent: Invent
) -> None:
    live("America/New_York")
    invent("one gadget", day=date(2026, 11, 28))
    invent("two gadget", day=date(2026, 11, 29))
    for name in ("day", "moment"):
        assert found_everywhere(client, **{name: DAY}) == {"one"}
        assert found_everywhere(client, **{f"{name}__lte": DAY}) == {"one"}
        assert found_everywhere(client, **{f"{name}__gt": DAY}) == {"two"}
        assert found_everywhere(client, **{f"{name}__gte": DAY}) == {"one", "two"}
        assert found_everywhere(client, **{f"{name}__lt": DAY}) == set()


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/Havana", date(2026, 3, 8), 23),  # midnight does not exist
        ("America/Havana", date(2026, 11, 1), 25),  # midnight to one o'clock happens twice
        ("Asia/Beirut", date(2026, 3, 29), 23),
        ("Pacific/Kiritimati", date(2026, 1, 1), 24),
    ],
)
def test_a_day_on_which_the_clocks_change_is_whole(
    settings: Any, invent: Invent, zone: str, day: date, hours: int
) -> None:
    settings.TIME_ZONE = zone
    after = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    second = timedelta(seconds=1)
    invent("eve gadget", made=after - second)
    invent("start gadget", made=after)
    invent("end gadget", made=after + timedelta(hours=hours) - second)
    invent("next gadget", made=after + timedelta(hours=hours))
    assert found(made=day) == {"start", "end"}
    assert found(made__lt=day) == {"eve"}
    assert found(made__gt=day) == {"next"}
    assert found(made__lte=day) == {"eve", "start", "end"}
    assert found(made_on=day) == {"start", "end"}


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize(
    ("moment", "day"), [(datetime.min, "0001-01-01"), (datetime.max, "9999-12-31")]
)
def test_the_ends_of_the_calendar_are_days_too(
    settings: Any, zone: str, moment: datetime, day: str
) -> None:
    settings.TIME_ZONE = zone
    kind = InstantType()
    span, value = kind.parse(day), kind.read(moment)
    assert span.first <= value <= span.last
    assert kind.scalars(value)[1] == day == kind.equal(span)
    assert kind.limit("gte", span)[1] <= value / 1_000_000 <= kind.limit("lte", span)[1]


@pytest.mark.parametrize("value", ["2026-13-01", "2026-02-30", "tomorrow", 5, True, "12:00"])
def test_what_is_no_date_is_refused(invent: Invent, value: Any) -> None:
    for name in ("made", "day", "made__lt", "day__gte"):
        with pytest.raises(InvalidQuery, match="takes a date"):
            search("gadget", filters={name: value})
