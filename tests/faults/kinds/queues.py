"""Redis that is down, loses what it holds, or delivers twice: as cache and as Celery's broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from celery import Celery
from celery.contrib.testing.worker import start_worker
from django.test.utils import override_settings

from mmsearch_app.contrib.celery.tasks import drain, shifts
from mmsearch_app.indexing import notify
from tests.faults.faults import fault
from tests.faults.scene import Scene, is_quiet, pass_time, work_for_a_while
from tests.faults.servers import pause
from tests.waiting import until

GROUP = "Redis and Celery"
CELERY = "a worker of Celery"
BEAT = "the next `mmsearch.drain` of Celery's beat"

BY_CELERY: dict[str, Any] = {"group": GROUP, "heals": CELERY, "healer": work_for_a_while}


@contextmanager
def as_cache(scene: Scene) -> Iterator[None]:
    """Use Redis as the cache of the shop."""
    redis = "django.core.cache.backends.redis.RedisCache"
    options = {"socket_connect_timeout": 0.5, "socket_timeout": 0.5}
    cache = {"BACKEND": redis, "LOCATION": scene.redis.url, "OPTIONS": options}
    with override_settings(CACHES={"default": cache}):
        yield


@contextmanager
def as_broker(scene: Scene) -> Iterator[Celery]:
    """Let every save send a task to Redis, as the app `mmsearch_app.contrib.celery` does."""
    app = Celery("faults", broker=f"{scene.redis.url}/1", set_as_current=False)
    app.conf.broker_connection_timeout = 1
    app.conf.broker_connection_retry_on_startup = True
    app.conf.worker_hijack_root_logger = False
    app.conf.broker_transport_options = {"socket_connect_timeout": 1, "socket_timeout": 5}
    app.set_default()
    shifts._silent_until = 0.0

    def wake() -> None:
        shifts.wake()

    notify.listen(wake)
    try:
        with as_cache(scene):
            yield app
    finally:
        notify.listeners.remove(wake)
        app.close()


@contextmanager
def working(app: Celery) -> Iterator[None]:
    """Run a worker of Celery during the block."""
    options: dict[str, Any] = {"pool": "solo", "perform_ping_check": False, "loglevel": "ERROR"}
    with start_worker(app, **options):
        yield


def _by_next_task() -> None:
    """What beat does every minute, done by hand: the task itself, after the waits."""
    pass_time()
    drain.apply()


def _cache(what: str, break_it: Callable[[Scene], object]) -> None:
    @fault(f"The cache {what}", group=GROUP)
    def inject(scene: Scene) -> Iterator[None]:
        with as_cache(scene), ExitStack() as after:
            scene.retitle(0, "zebra mug")
            break_it(scene)
            after.callback(scene.redis.restart)
            work_for_a_while()
            scene.retitle(1, "zebra shirt")
            yield


_cache("is down", lambda scene: scene.redis.kill())
_cache("is flushed", lambda scene: scene.redis.flush())
_cache("is killed and started again", lambda scene: scene.redis.restart())


@fault("The broker is down when an editor saves", group=GROUP, heals=BEAT, healer=_by_next_task)
def _down(scene: Scene) -> Iterator[None]:
    with as_broker(scene):
        scene.redis.kill()
        scene.retitle(0, "zebra mug")
        yield
        scene.redis.start()


@fault("A task of Celery is lost", group=GROUP, heals=BEAT, healer=_by_next_task)
def _lost(scene: Scene) -> None:
    with as_broker(scene):
        scene.retitle(0, "zebra mug")
        scene.redis.flush()


@fault(
    "A task of Celery is delivered four times", group=GROUP, heals=CELERY, healer=work_for_a_while
)
def _duplicated(scene: Scene) -> None:
    with as_broker(scene) as app:
        for number in range(6):
            scene.retitle(number, f"zebra {number}")
        for _ in range(4):
            drain.apply_async()
        with working(app):
            until(is_quiet, seconds=60)


@fault(
    "Redis is killed while a worker of Celery waits",
    group=GROUP,
    heals=CELERY,
    healer=work_for_a_while,
)
def _restarted(scene: Scene) -> None:
    with as_broker(scene) as app, working(app):
        scene.retitle(0, "zebra mug")
        until(is_quiet, seconds=60)
        scene.redis.restart()
        shifts._silent_until = 0.0
        scene.retitle(1, "zebra shirt")
        until(is_quiet, seconds=60)
        pause(0.1)
