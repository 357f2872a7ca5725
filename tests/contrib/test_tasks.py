"""django-tasks: its immediate backend, and its database backend with a real worker."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contrib.shop import Shop

APPS = ("django_tasks_db", "mmsearch_app.contrib.tasks")
DATABASE = "django_tasks_db.DatabaseBackend"
WORKER = ("-m", "django", "db_worker", "--interval=0.1", "--no-reload", "--no-startup-delay")
MESSAGES = "from django_tasks_db.models import DBTaskResult\nprint(DBTaskResult.objects.count())"

ShopWith = Callable[..., Shop]


@pytest.fixture
def shop(shop_with: ShopWith) -> Shop:
    return shop_with(*APPS, SHOP_TASKS=DATABASE)


def test_a_save_is_indexed_by_a_worker_of_the_database_backend(shop: Shop) -> None:
    with shop.worker(*WORKER) as wait_until:
        for number in range(2):
            shop.run(f"sell({number}).save()")
            wait_until(lambda: set(shop.states()) == {"indexed"})


def test_many_saves_send_one_message(shop: Shop) -> None:
    assert shop.run("for number in range(20): sell(number).save()\n" + MESSAGES) == "1\n"
    assert shop.states() == ["pending"] * 20


def test_a_save_that_is_rolled_back_sends_no_message(shop: Shop) -> None:
    code = """
from django.db import transaction
with transaction.atomic():
    sell(1).save()
    transaction.set_rollback(True)
"""
    assert shop.run(code + MESSAGES) == "0\n"


def test_a_queue_that_fails_breaks_no_save(shop: Shop) -> None:
    code = """
from django.db import connection
from django_tasks_db.models import DBTaskResult
with connection.cursor() as cursor:
    cursor.execute(f"DROP TABLE {DBTaskResult._meta.db_table}")
sell(1).save()
"""
    shop.run(code)
    assert shop.states() == ["pending"]


def test_reconcile_is_a_task_too(shop: Shop) -> None:
    code = """
from mmsearch_app.contrib.tasks.tasks import reconcile
image = sell(1)
image.original.save("a.png", image.original.file, save=False)
ProductImage.objects.bulk_create([image])
reconcile.enqueue()
"""
    shop.run(code)
    with shop.worker(*WORKER) as wait_until:
        wait_until(lambda: shop.states() == ["indexed"])


def test_a_backend_named_mmsearch_gets_the_tasks(shop: Shop) -> None:
    code = """
from mmsearch_app.contrib.tasks.tasks import drain, reconcile
print(drain.backend, reconcile.backend)
"""
    assert shop.run(code) == "default default\n"
    shop.environment["SHOP_OWN_TASKS"] = "1"
    assert shop.run(code) == "mmsearch mmsearch\n"


def test_the_immediate_backend_runs_only_after_the_commit(shop_with: ShopWith) -> None:
    code = """
from importlib import import_module
from django.db import transaction
from mmsearch_app.contrib.tasks.tasks import drain
runs = []
signals = import_module(f"{type(drain).__module__.rpartition('.')[0]}.signals")
signals.task_started.connect(lambda **_: runs.append(1), weak=False)
with transaction.atomic():
    for number in range(30): sell(number).save()
    print(set(Entry.objects.values_list("state", flat=True)))
print(set(Entry.objects.values_list("state", flat=True)), len(runs))
"""
    assert shop_with(*APPS).run(code) == "{'pending'}\n{'indexed'} 1\n"


@pytest.mark.parametrize(("backend", "number"), [("", "W011"), (DATABASE, "W010")])
def test_a_check_warns_about_an_unsuitable_backend(
    shop_with: ShopWith, backend: str, number: str
) -> None:
    code = """
from django.core.checks import run_checks
print([message.id for message in run_checks() if message.id.startswith("mmsearch_app.W01")])
"""
    shop = shop_with(*APPS, **({"SHOP_TASKS": backend} if backend else {}))
    assert shop.run(code) == f"['mmsearch_app.{number}']\n"


def test_without_a_library_the_error_says_what_to_install(shop: Shop) -> None:
    shop.environment["SHOP_APPS"] = "mmsearch_app.contrib.tasks"
    code = "import sys, django\nsys.modules['django.tasks'] = sys.modules['django_tasks'] = None\n"
    assert "pip install 'mmsearch[tasks]'" in shop.fail(code + "django.setup()")
