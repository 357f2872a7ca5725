"""What a shop's querysets prefetch themselves beside what the source's paths need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.db.models import Prefetch, QuerySet

from mmsearch_app import ImageSource, search
from mmsearch_app.testing import registered
from tests.shapes.models import Exhibition, Poster, Tag
from tests.shop import picture_file, work

Narrow = Callable[[QuerySet[Any]], QuerySet[Any]]


class Tagged(ImageSource):
    name = "tagged"
    image, title = "picture", "name"
    filters: ClassVar = {"keyword": "tags.name", "hall": "exhibitions"}
    narrow: ClassVar[Narrow] = staticmethod(lambda rows: rows)
    narrow_to_visitor: ClassVar[Narrow] = staticmethod(lambda rows: rows)

    def get_queryset(self) -> QuerySet[Any]:
        return type(self).narrow(Poster.objects.all())

    def visible_to(self, queryset: QuerySet[Any], user: Any, request: Any = None) -> QuerySet[Any]:
        return type(self).narrow_to_visitor(queryset)


PUBLIC = Tag.objects.exclude(name="secret")
NARROWED: list[Narrow] = [
    lambda rows: rows.prefetch_related("tags"),
    lambda rows: rows.prefetch_related("tags__posters", "exhibitions"),
    lambda rows: rows.prefetch_related("tags__posters__tags", Prefetch("tags", to_attr="labels")),
    lambda rows: rows.prefetch_related(Prefetch("tags", queryset=PUBLIC)),
    lambda rows: rows.prefetch_related(
        Prefetch("exhibitions", queryset=Exhibition.objects.order_by("-title")),
        Prefetch("tags__posters", queryset=Poster.objects.order_by("name")),
    ),
]


def _hang() -> None:
    poster = Poster.objects.create(name="red sea", picture=picture_file("red"))
    poster.tags.add(Tag.objects.create(name="sale"))


@pytest.mark.django_db
@pytest.mark.parametrize("narrow", NARROWED)
@pytest.mark.parametrize("hook", ["narrow", "narrow_to_visitor"])
def test_prefetches_of_the_shop_and_of_paths_go_together(
    narrow: Narrow, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tagged, hook, staticmethod(narrow))
    with registered(Tagged(Poster)):
        _hang()
        work()
        [hit] = search("red", filters={"keyword": "sale"}).hits
    assert hit.title == "red sea"


@pytest.mark.django_db
def test_a_queryset_that_the_shop_prefetches_decides_which_values_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrow = staticmethod(lambda rows: rows.prefetch_related(Prefetch("tags", queryset=PUBLIC)))
    monkeypatch.setattr(Tagged, "narrow", narrow)
    with registered(Tagged(Poster)):
        _hang()
        Poster.objects.get().tags.add(Tag.objects.create(name="secret"))
        work()
        assert not search("red", filters={"keyword": "secret"}).hits
        assert search("red", filters={"keyword": "sale"}).hits
