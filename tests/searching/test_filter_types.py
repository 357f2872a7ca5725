"""Filters on fields, properties and links of every type: by Python, page and API alike."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from django.db import connection
from django.db.models.signals import m2m_changed
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from django.utils.translation import gettext, gettext_lazy
from taggit.models import Tag

from mmsearch_app import ImageSource, mark, search
from mmsearch_app.models import Entry
from mmsearch_app.searching.query import InvalidQuery
from mmsearch_app.sources import FilterReader
from mmsearch_app.testing import registered
from tests.gadgets import Invent, choices, found, found_everywhere, tree
from tests.shapes.gadgets import Gadget, Maker, Mood, Note, Topic
from tests.shapes.models import Poster
from tests.shop import work

pytestmark = pytest.mark.django_db
SERIAL = uuid.UUID("12345678-1234-5678-1234-567812345678")


def test_tags_are_values_and_their_changes_mark_the_rows(client: Client, invent: Invent) -> None:
    red = invent("red gadget", tags=["new", "warm"])
    invent("blue gadget", tags=["new"])
    assert found_everywhere(client, **{"tag-name": "new"}) == {"red", "blue"}
    assert found_everywhere(client, **{"tag-name": "warm"}) == {"red"}
    warm = red.tags.get(name="warm")
    assert found_everywhere(client, tag=warm.pk) == {"red"}
    assert choices(client, "tag")[str(warm.pk)] == "warm"
    assert set(choices(client, "tag-name")) == {"new", "warm"}
    red.tags.remove("warm")
    assert entry_is_due(red)
    assert found(**{"tag-name": "warm"}) == set()
    red.tags.add("warm")
    assert found(**{"tag-name": "warm"}) == {"red"}
    red.tags.clear()
    assert found(**{"tag-name": "new"}) == {"blue"}
    Tag.objects.get(name="new").delete()
    assert found(**{"tag-name": "new"}) == set()


def test_a_renamed_tag_marks_the_rows_that_have_it(invent: Invent) -> None:
    invent("red gadget", tags=["new"])
    assert found(**{"tag-name": "new"}) == {"red"}
    tag = Tag.objects.get()
    tag.name = "renamed"
    tag.save()
    assert found(**{"tag-name": "renamed"}) == {"red"}
    assert found(**{"tag-name": "new"}) == set()


def entry_is_due(row: Any) -> bool:
    return Entry.objects.get(source="gadgets", object_pk=str(row.pk)).due_at is not None


def test_a_tag_of_another_model_marks_nothing(invent: Invent) -> None:
    red = invent("red gadget")
    work()
    through = Gadget._meta.get_field("tags").remote_field.through  # type: ignore[union-attr]
    poster = Poster(pk=uuid.uuid4(), name="sea")
    m2m_changed.send(
        sender=through, instance=poster, action="post_add", reverse=False, pk_set={1}, model=None
    )
    assert not entry_is_due(red)


def test_each_element_of_a_json_list_is_a_value(client: Client, invent: Invent) -> None:
    invent("red gadget", sizes=["S", "M"])
    invent("blue gadget", sizes=["M", 42])
    invent("green gadget", sizes="L")
    invent("black gadget", sizes=None)
    invent("white gadget", sizes=[])
    invent("grey gadget", sizes=[["XS"], True, 1.5])
    assert found_everywhere(client, size="M") == {"red", "blue"}
    assert found_everywhere(client, size=["S", "L"]) == {"red", "green"}
    assert found_everywhere(client, size=42) == {"blue"}
    assert found_everywhere(client, size="XS") == {"grey"}
    assert found_everywhere(client, size="true") == {"grey"}
    assert found_everywhere(client, size="1.5") == {"grey"}
    assert set(choices(client, "size")) == {"S", "M", "42", "L", "XS", "true", "1.5"}


def test_an_object_in_a_json_list_costs_only_itself(
    client: Client, invent: Invent, caplog: pytest.LogCaptureFixture
) -> None:
    invent("red gadget", sizes=["S", {"eu": 42}, {}])
    invent("blue gadget", sizes={"eu": 42})
    assert found_everywhere(client, size="S") == {"red"}
    assert found(weight=None) == {"red", "blue"}
    assert (
        "<Gadget: red gadget>: The filter 'size' leaves out a value: a dict is no single"
        in caplog.text
    )
    assert set(choices(client, "size")) == {"S"}


def test_json_may_be_read_as_a_type_and_by_key(client: Client, invent: Invent) -> None:
    parts = [{"width": 2}, {"width": "3.5"}, {"height": 9}, 7]
    invent("red gadget", sizes=[38, "39"], attributes={"colour": "red", "parts": parts})
    invent("blue gadget", sizes=[41, "big"], attributes={"colour": ["blue", "navy"], "parts": 5})
    invent("green gadget", attributes={"colour": None})
    assert found_everywhere(client, shoe__gte="39", shoe__lte=40) == {"red"}
    assert found_everywhere(client, shoe=41) == {"blue"}
    assert found_everywhere(client, colour="navy") == {"blue"}
    assert found_everywhere(client, width__gt=3) == {"red"}
    assert found_everywhere(client, width=2) == {"red"}


def test_money_is_compared_by_its_amount(client: Client, invent: Invent) -> None:
    invent("red gadget", price=20)
    invent("blue gadget", price=Decimal("20.01"))
    invent("green gadget")
    assert found_everywhere(client, price="20.00") == {"red"}
    assert found_everywhere(client, price__lte=20) == {"red"}
    assert found_everywhere(client, price__gt=20) == {"blue"}


def test_any_path_of_several_may_match(client: Client, invent: Invent) -> None:
    parent = invent("red gadget", price=None)
    for price in (5, 25):
        Gadget.objects.create(name="part", group=parent, price=price)
    parent.save()
    invent("blue gadget", price=15)
    assert found_everywhere(client, price__lte=10) == {"red"}
    assert found_everywhere(client, price=25) == {"red"}
    assert found_everywhere(client, price__gte=10, price__lte=20) == {"blue"}


def test_computed_filters_are_compared_at_display_too(client: Client, invent: Invent) -> None:
    cheap = invent("cheap gadget", price=10)
    invent("dear gadget", price=20)
    assert found_everywhere(client, on_sale="1") == {"cheap"}
    assert found_everywhere(client, on_sale=False) == {"dear"}
    assert found_everywhere(client, discounted__lte=9) == {"cheap"}
    assert found_everywhere(client, discounted="18") == {"dear"}
    assert found_everywhere(client, colours=["dear", "x"]) == {"dear"}
    Gadget.objects.filter(pk=cheap.pk).update(name="x-cheap gadget")
    assert found(on_sale=True) == set()
    assert choices(client, "on_sale") == {"1": "yes", "0": "no"}
    assert choices(client, "colours") == {}


def test_a_property_that_raises_costs_its_hit(
    client: Client, invent: Invent, monkeypatch: pytest.MonkeyPatch
) -> None:
    invent("red gadget", price=10)
    assert found(on_sale=False) == {"red"}
    monkeypatch.setattr(Gadget, "on_sale", property(lambda self: 1 / 0))
    assert found_everywhere(client, price__lte=10) == {"red"}
    assert found_everywhere(client, on_sale="0") == set()


@pytest.mark.parametrize("name", ["topic", "topic-slug"])
def test_a_category_finds_what_is_below_it(client: Client, invent: Invent, name: str) -> None:
    home, kitchen, pans = tree("home", "kitchen", "pans")
    (garden,) = tree("garden")
    invent("red gadget", topics=[pans])
    invent("blue gadget", topics=[kitchen])
    invent("green gadget", topics=[garden])

    def by(topic: Any) -> set[str]:
        value = topic.pk if name == "topic" else topic.slug
        return found_everywhere(client, **{name: value})

    assert by(home) == by(kitchen) == {"red", "blue"}
    assert by(pans) == {"red"}
    assert by(garden) == {"green"}
    offered = choices(client, name)
    assert set(offered.values()) == {"Home", "Kitchen", "Pans", "Garden"}
    assert len(offered) == 4
    kitchen.parent = garden
    kitchen.save()
    assert by(home) == set()
    assert by(garden) == {"red", "blue", "green"}
    Topic.objects.filter(pk=pans.pk).update(parent=home)
    assert by(kitchen) == {"blue"}, "the database overrides the index"


def test_a_tree_with_a_loop_ends(invent: Invent) -> None:
    upper, lower = tree("upper", "lower")
    upper.parent = lower
    upper.save()
    invent("red gadget", topics=[lower])
    assert found(topic=upper.pk) == {"red"}


def test_keys_of_every_type_are_relations(client: Client, invent: Invent) -> None:
    acme = Maker.objects.create(code="ACME 1")
    poster = Poster.objects.create(name="sea")
    red = invent("red gadget", maker=acme, poster=poster)
    invent("blue gadget")
    note = red.notes.create(stars=5)
    red.save()
    assert found_everywhere(client, maker="ACME 1") == {"red"}
    assert found_everywhere(client, poster=str(poster.pk)) == {"red"}
    assert found_everywhere(client, note=note.pk) == {"red"}
    assert found_everywhere(client, stars__gte=4) == {"red"}
    assert found(maker=acme, poster=poster, note=Note.objects.all()) == {"red"}
    assert choices(client, "maker") == {"ACME 1": "Maker ACME 1"}
    assert choices(client, "poster") == {str(poster.pk): "sea"}
    for name, value in (("maker", poster), ("poster", acme), ("poster", "sea"), ("note", Note())):
        with pytest.raises(InvalidQuery, match="does not fit"):
            search("gadget", filters={name: value})


def test_choices_are_found_by_value_and_offered_by_label(client: Client, invent: Invent) -> None:
    invent("red gadget", mood=Mood.CALM)
    invent("blue gadget", mood=Mood.WILD)
    for name in ("mood", "feeling"):
        assert found_everywhere(client, **{name: "c"}) == {"red"}
        assert found(**{name: Mood.WILD}) == {"blue"}
        assert choices(client, name) == {"c": "Calm", "w": "Wild"}
    with pytest.raises(InvalidQuery, match="does not fit"):
        search("gadget", filters={"feeling": "x"})


def test_booleans_numbers_and_uuids_are_judged_by_their_type(
    client: Client, invent: Invent
) -> None:
    invent("red gadget", sold=True, stock=1, weight=0.1, serial=SERIAL)
    invent("blue gadget", sold=False, stock=0, weight=1)
    invent("green gadget")
    assert found_everywhere(client, sold="true") == {"red"}
    assert found_everywhere(client, sold="0") == {"blue"}
    assert found_everywhere(client, stock=1) == {"red"}
    assert found_everywhere(client, stock="1.0") == {"red"}
    assert found_everywhere(client, weight="0.1") == {"red"}
    assert found_everywhere(client, weight__lte=0.1) == {"red"}
    assert found_everywhere(client, serial=str(SERIAL)) == {"red"}
    assert found_everywhere(client, serial=SERIAL.hex.upper()) == {"red"}
    assert choices(client, "serial") == {str(SERIAL): str(SERIAL)}
    for name, value in (("stock", True), ("sold", 2), ("sold", "x"), ("serial", "1")):
        with pytest.raises(InvalidQuery, match="does not fit"):
            search("gadget", filters={name: value})


def test_bounds_are_compared_as_they_are_given(client: Client, invent: Invent) -> None:
    invent("red gadget", price=20, stock=2, weight=2.5)
    assert found_everywhere(client, price__lt="20.004") == {"red"}
    assert found_everywhere(client, price__lte="19.999") == set()
    assert found_everywhere(client, price__gt="19.99999999999999999999") == {"red"}
    assert found_everywhere(client, price__gt="20.00000000000000000001") == set()
    assert found_everywhere(client, price__lt="20.00000000000000000001") == {"red"}
    assert found_everywhere(client, price__lt=10**30) == {"red"}
    assert found_everywhere(client, price__gt=-(10**12)) == {"red"}
    assert found_everywhere(client, price="20.004") == set()
    assert found_everywhere(client, stock__lt="2.5") == {"red"}
    assert found_everywhere(client, stock__gt="1.5") == {"red"}
    assert found_everywhere(client, stock__gte="2.1") == set()
    assert found_everywhere(client, stock__lte="1.9") == set()
    assert found_everywhere(client, stock="2.5") == set()
    assert found_everywhere(client, stock__lt=10**40) == {"red"}
    assert found_everywhere(client, weight__gt="2.4999999") == {"red"}


def test_large_whole_numbers_are_exact(client: Client, invent: Invent) -> None:
    invent("red gadget", stock=2**60)
    invent("blue gadget", stock=2**60 + 1)
    assert found_everywhere(client, stock=2**60 + 1) == {"blue"}
    assert found_everywhere(client, stock__gt=2**60) == {"blue"}
    assert found_everywhere(client, stock__lte=2**60) == {"red"}


@pytest.mark.parametrize(
    "value", ["1e400", "1e999999999", "NaN", "-Infinity", pytest.param(10**5000, id="huge")]
)
def test_a_bound_that_is_no_finite_number_is_refused(invent: Invent, value: Any) -> None:
    for name in ("price__lt", "stock__gt", "weight__gte"):
        with pytest.raises(InvalidQuery, match="does not fit"):
            search("gadget", filters={name: value})


def test_long_and_odd_texts_are_found_or_not_offered(client: Client, invent: Invent) -> None:
    long = "long " * 20_000
    invent("red gadget", story=long)
    invent("blue gadget", story=" two  words\n")
    invent("green gadget", story="100% & <b>_“”\\")
    assert found(story=long) == {"red"}
    assert found(story=long + "x") == set()
    assert found_everywhere(client, story="two  words") == {"blue"}
    assert found_everywhere(client, story="100% & <b>_“”\\") == {"green"}
    assert set(choices(client, "story")) == {"two  words", "100% & <b>_“”\\"}


def test_a_value_that_no_index_can_store_costs_only_itself(
    client: Client, invent: Invent, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = [float("nan"), float("inf"), 10**400, b"x", object, "\ud800", "fine"]
    monkeypatch.setattr(Gadget, "colours", strange, raising=False)
    monkeypatch.setattr(Gadget, "discounted", [Decimal("NaN"), Decimal("sNaN"), "x", 7])
    invent("red gadget")
    assert found_everywhere(client, colours="fine") == {"red"}
    assert found_everywhere(client, discounted=7) == {"red"}


@pytest.mark.sqlite
def test_json_that_cannot_be_encoded_is_not_offered(client: Client, invent: Invent) -> None:
    invent("red gadget", sizes=["\ud800", "a\0b", "S"])
    assert found_everywhere(client, size="S") == {"red"}
    assert set(choices(client, "size")) == {"S"}


def test_text_is_compared_as_in_the_default_language(
    client: Client, invent: Invent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gadget, "colours", [gettext_lazy("yes")], raising=False)
    invent("red gadget")
    with translation.override("de"):
        assert gettext("yes") != "yes"
        assert found(colours="yes") == {"red"}
        monkeypatch.setattr(Gadget, "colours", property(lambda self: gettext("yes")))
        assert found(colours="yes") == {"red"}


def test_only_the_filters_that_are_asked_are_fetched(invent: Invent) -> None:
    for number in range(5):
        invent(f"red{number} gadget", tags=["new"], topics=tree("home"))
    work()
    search("gadget")  # reads the floors of the scores, which are kept for a minute
    with CaptureQueriesContext(connection) as plain:
        assert len(search("gadget").hits) == 5
    with CaptureQueriesContext(connection) as asked:
        assert len(search("gadget", filters={"tag-name": "new"}).hits) == 5
    tables = ("taggit_tag", "shapes_topic", "shapes_maker", "shapes_note")
    said = " ".join(query["sql"] for query in plain.captured_queries)
    assert not any(table in said for table in tables)
    assert len(asked) == len(plain) + 1


def test_a_milvus_file_finds_the_same(
    client: Client, invent: Invent, use: Any, tmp_path: Any
) -> None:
    options = {"uri": tmp_path / "index.db"}
    use(INDEX={"BACKEND": "mmsearch_app.indexes.milvus.MilvusIndex", "OPTIONS": options})
    home, kitchen = tree("home", "kitchen")
    made = datetime(2026, 11, 28, 12, tzinfo=UTC)
    invent("red gadget", price=20, stock=2, sizes=["S", 42], topics=[kitchen], made=made)
    invent("blue gadget", price=Decimal("20.01"), stock=2**60 + 1, tags=["new"], sold=True)
    assert found_everywhere(client, price__lt="20.004") == {"red"}
    assert found_everywhere(client, price__gt="20.00000000000000000001") == {"blue"}
    assert found_everywhere(client, stock__gt=2**60) == {"blue"}
    assert found_everywhere(client, stock__lt="2.5") == {"red"}
    assert found_everywhere(client, size=["S", "x"]) == {"red"}
    assert found_everywhere(client, topic=home.pk) == {"red"}
    assert found_everywhere(client, **{"tag-name": "new"}) == {"blue"}
    assert found_everywhere(client, made="2026-11-28") == {"red"}
    assert found_everywhere(client, made__lte="2026-11-28", size=42) == {"red"}
    assert found_everywhere(client, sold="1") == {"blue"}
    assert found_everywhere(client, on_sale="0") == {"red", "blue"}


@pytest.mark.parametrize("name", ["topic", "size", "tag-name"])
def test_a_filter_costs_few_queries_whatever_the_number_of_rows(invent: Invent, name: str) -> None:
    topics = tree("home", "kitchen", "pans", "lids")
    for number in range(6):
        invent(f"red{number} gadget", topics=topics[number % 3 + 1 :], sizes=["S"], tags=["S"])
    work()
    wanted = {name: topics[0].pk if name == "topic" else "S"}
    search("gadget")  # reads the floors of the scores, which are kept for a minute
    with CaptureQueriesContext(connection) as plain:
        search("gadget")
    with CaptureQueriesContext(connection) as asked:
        assert len(search("gadget", filters=wanted).hits) == 6
    assert len(asked) - len(plain) == {"topic": 2, "size": 0, "tag-name": 1}[name]


def test_values_through_several_relations_are_fetched_together(invent: Invent) -> None:
    class Makers(ImageSource):
        name = "makers"
        image = "picture"
        filters: ClassVar = {"via": "children.maker.code"}

    for number in range(5):
        parent = invent(f"red{number} gadget")
        maker = Maker.objects.create(code=f"m{number}")
        Gadget.objects.create(name="part", group=parent, maker=maker)
    with registered(Makers(Gadget)) as source:
        mark(Gadget.objects.all())
        work()
        with CaptureQueriesContext(connection) as queries:
            rows = list(source.fetch(filters=["via"]))
            assert [list(source.get_filters(row)["via"]) for row in rows[:1]] == [["m0"]]
            assert len(rows) == 10
            reader = FilterReader(source)
            assert sum(len(reader.values(row, "via")) for row in rows) == 5
        assert len(queries) == 3
        assert found(via="m3") == {"red3"}
