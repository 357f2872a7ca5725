"""Celery: a real worker, a real broker in a folder, and brokers that are unavailable."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.contrib.shop import OPENING, Shop

APP = "mmsearch_app.contrib.celery"
LOAD = "from tests.contrib.celery_app import app\n"
WORKER = ("-m", "celery", "-A", "tests.contrib.celery_app", "worker", "--pool=solo", "-linfo")

ShopWith = Callable[..., Shop]


@pytest.fixture
def shop(shop_with: ShopWith) -> Shop:
    return shop_with(APP)


def test_a_save_is_indexed_by_an_idle_celery_worker(shop: Shop) -> None:
    with shop.worker(*WORKER) as wait_until:
        for number in range(2):
            shop.run(LOAD + f"sell({number}).save()")
            wait_until(lambda: set(shop.states()) == {"indexed"})
    assert len(shop.states()) == 2


def test_many_saves_send_one_message(shop: Shop) -> None:
    shop.run(LOAD + "for number in range(20): sell(number).save()")
    assert len(shop.states()) == 20
    assert len(shop.messages()) == 1


def test_a_task_starts_another_one_while_there_is_work(shop: Shop) -> None:
    shop.run(LOAD + "for number in range(9): sell(number).save()")
    for message in shop.messages():
        message.unlink()
    with shop.worker(*WORKER) as wait_until:
        shop.run(LOAD + "app.send_task('mmsearch.drain', kwargs={'seconds': 0})")
        wait_until(lambda: set(shop.states()) == {"indexed"})
        wait_until(lambda: shop.log.read_text().count("mmsearch.drain") >= 4)
    assert "9 indexed" in shop.log.read_text()
    assert "0 indexed" in shop.log.read_text()


def test_reconcile_starts_a_worker_for_the_rows_it_finds(shop: Shop) -> None:
    code = """
image = sell(1)
image.original.save("a.png", image.original.file, save=False)
ProductImage.objects.bulk_create([image])
assert not Entry.objects.exists()
app.send_task("mmsearch.reconcile")
"""
    shop.run(LOAD + code)
    with shop.worker(*WORKER) as wait_until:
        wait_until(lambda: shop.states() == ["indexed"])
        wait_until(lambda: "'changed': 1" in shop.log.read_text())


def test_the_tasks_have_names_for_beat_and_need_no_autodiscovery(shop: Shop) -> None:
    names = shop.run(LOAD + "print(sorted(name for name in app.tasks if 'mmsearch' in name))")
    assert names == "['mmsearch.drain', 'mmsearch.reconcile']\n"


def test_an_unreachable_broker_breaks_no_save_and_is_logged_once(shop_with: ShopWith) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    shop = shop_with(APP, SHOP_BROKER=f"amqp://127.0.0.1:{port}//", SHOP_TIMEOUT="0.1")
    code = """
import logging, threading
from django.core.cache import cache
said = []
logging.getLogger("mmsearch_app.contrib.queue").addFilter(lambda line: not said.append(line))
for number in range(3):
    sell(number).save()
    [thread.join() for thread in threading.enumerate() if thread.name == "mmsearch-wake"]
    cache.clear()
print(Entry.objects.count(), [line.levelname for line in said])
"""
    assert shop.run(LOAD + code) == "3 ['WARNING']\n"


def test_a_save_does_not_wait_for_a_broker_that_does_not_answer(shop_with: ShopWith) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = f"amqp://127.0.0.1:{silent.getsockname()[1]}//"
        shop = shop_with(APP, SHOP_BROKER=broker, SHOP_TIMEOUT="60")
        code = """
import threading
sell(1).save()
waiting = [thread for thread in threading.enumerate() if thread.name == "mmsearch-wake"]
print(Entry.objects.count(), "saved,", len(waiting), "waits", flush=True)
"""
        with shop.start("-c", OPENING + LOAD + code) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.kill()
    assert line == "1 saved, 1 waits\n"


def test_one_eager_task_indexes_everything_after_the_commit(shop_with: ShopWith) -> None:
    code = """
from celery.signals import task_prerun
from django.db import transaction
runs = []
task_prerun.connect(lambda **_: runs.append(1), weak=False)
with transaction.atomic():
    for number in range(30): sell(number).save()
    print(set(Entry.objects.values_list("state", flat=True)))
print(set(Entry.objects.values_list("state", flat=True)), len(runs))
"""
    shop = shop_with(APP, SHOP_EAGER="1")
    assert shop.run(LOAD + code) == "{'pending'}\n{'indexed'} 1\n"


def test_without_celery_the_error_says_what_to_install(shop: Shop) -> None:
    code = "import sys, django\nsys.modules['celery'] = None\ndjango.setup()"
    assert "pip install 'mmsearch[celery]'" in shop.fail(code)


def test_a_check_warns_about_an_index_that_the_worker_cannot_open(shop: Shop) -> None:
    code = """
from django.core.checks import run_checks
print([message.id for message in run_checks() if message.id == "mmsearch_app.W010"])
"""
    assert shop.run(code) == "['mmsearch_app.W010']\n"
