"""A shop with `USE_TZ = False`: its times are naive, in its own time zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from mmsearch_app import search
from mmsearch_app.indexing import reconcile
from mmsearch_app.indexing.rebuild import rebuild_index, request_rebuild
from mmsearch_app.indexing.reconcile import Drift
from mmsearch_app.models import Entry, Rebuild
from mmsearch_app.testing import index_everything, registered
from tests.admin.conftest import LEDGER
from tests.shapes.models import Poster
from tests.shop import Detailed, picture_file


@pytest.fixture
def posters(settings: Any, db: None) -> Any:
    """Two posters, released in January and in June, indexed without time zones."""
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/New_York"
    with registered(Detailed(Poster)):
        for month in (1, 6):
            Poster.objects.create(
                name=f"sea {month}",
                picture=picture_file(side=32 + month),
                released=datetime(2026, month, 15, 12, 30, 1, 123456),
            )
        index_everything()
        yield list(Poster.objects.order_by("released"))


@pytest.mark.parametrize(
    ("filters", "months"),
    [
        ({"released__gte": "2026-03-01"}, [6]),
        ({"released__lt": datetime(2026, 3, 1, 4)}, [1]),
        ({"released": datetime(2026, 6, 15, 12, 30, 1, 123456)}, [6]),
        ({"released__lte": "2026-06-15T12:30:01.123456"}, [1, 6]),
        ({"released__lt": "2026-06-15 12:30:01"}, [1]),
    ],
)
def test_times_are_indexed_and_found(posters: Any, filters: Any, months: list[int]) -> None:
    hits = search("sea", filters=filters).hits
    found = {hit.product for hit in hits}
    assert found == {poster for poster in posters if poster.released.month in months}
    assert reconcile() == Drift()


def test_the_pages_of_the_admin_show_local_times(boss: Client, posters: Any) -> None:
    assert boss.get(LEDGER).status_code == 200
    entry = Entry.objects.order_by("pk")[0]
    Entry.objects.filter(pk=entry.pk).update(indexed_at=datetime(2026, 2, 3, 16, 5))
    page = boss.get(LEDGER).content.decode()
    assert "4:05 p.m." in page or "16:05" in page
    Entry.objects.filter(pk=entry.pk).update(due_at=timezone.now() + timedelta(hours=2))
    for address in (
        f"{LEDGER}{entry.pk}/change/",
        f"{LEDGER}reindex/",
        f"{LEDGER}inspect/",
        LEDGER,
    ):
        assert boss.get(address).status_code == 200, address
    assert "again in" in boss.get(LEDGER).content.decode()
    question = {"text": "sea", "released__gte": "2026-03-01"}
    assert boss.post(f"{LEDGER}inspect/", question).status_code == 200


@pytest.mark.parametrize("state", ["new", "at work", "stuck", "done"])
def test_the_progress_of_a_rebuild_is_shown(boss: Client, posters: Any, state: str) -> None:
    row = rebuild_index() if state == "done" else request_rebuild()
    if state in ("at work", "stuck"):
        ago = timedelta(hours=3 if state == "stuck" else 0)
        lease = timezone.now() + timedelta(minutes=10) - ago
        Rebuild.objects.filter(pk=row.pk).update(
            requested_at=timezone.now() - ago, lease_until=lease, generation="g", total=2, done=1
        )
    for address in (f"{LEDGER}reindex/", f"{LEDGER}reindex/progress/", LEDGER):
        assert boss.get(address).status_code == 200


def test_the_worker_says_when_it_tries_again(posters: Any) -> None:
    due = timezone.now().replace(microsecond=0) + timedelta(hours=1)
    Entry.objects.update(due_at=due)
    out = StringIO()
    call_command("mmsearch_worker", once=True, stdout=out, verbosity=0)
    assert f"the first at {due.isoformat(' ', 'seconds')}" in out.getvalue()


def test_the_page_and_its_filters_work(posters: Any, client: Client) -> None:
    for question in ({"text": "sea"}, {"text": "sea", "released__gte": "2026-03-01"}):
        assert client.get("/find/", question).status_code == 200


def test_the_oldest_waiting_image_is_reported(posters: Any) -> None:
    registries = pytest.importorskip("mmsearch_app.contrib.prometheus.registries")
    ago = timezone.now() - timedelta(hours=1)
    Entry.objects.update(due_at=ago, marked_at=ago)
    families = {family.name: family for family in registries.StateCollector().collect()}
    waited = max(sample.value for sample in families["mmsearch_oldest_waiting_seconds"].samples)
    assert 3600 <= waited < 3700
