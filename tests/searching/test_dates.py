"""Dates and times in the index do not depend on a visitor's time zone."""

from __future__ import annotations

from datetime import date, datetime
from typing import ClassVar

import pytest
from django.utils import timezone

from mmsearch_app import Filter, ImageSource, search
from mmsearch_app.sources.moments import DateType, InstantType
from mmsearch_app.sources.types import ValueType
from mmsearch_app.testing import registered
from tests.shapes.models import Poster
from tests.shop import picture_file, work

ZONES = ["America/New_York", "Pacific/Kiritimati", "UTC"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("kind", [DateType(), InstantType()])
@pytest.mark.parametrize("value", [date(2026, 1, 2), datetime(2026, 1, 2, 8, 30)])
def test_a_date_is_the_same_number_in_every_zone(zone: str, kind: ValueType, value: date) -> None:
    plain = kind.scalars(kind.read(value))
    with timezone.override(zone):
        assert kind.scalars(kind.read(value)) == plain


class OnADay(ImageSource):
    name = "on-a-day"
    image = "picture"
    filters: ClassVar = {"day": Filter("day", type=date)}


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ZONES)
def test_a_day_is_found_from_every_zone(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Poster, "day", property(lambda self: date(2026, 1, 2)), raising=False)
    with registered(OnADay(Poster)):
        Poster.objects.create(name="sea", picture=picture_file())
        work()
        with timezone.override(zone):
            assert len(search("sea", filters={"day": date(2026, 1, 2)}).hits) == 1
