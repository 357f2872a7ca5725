"""A small shop that lasts from fault to fault, its servers, and what heals it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test.utils import override_settings
from django.utils import timezone

from example_shop.models import Category, Product, ProductImage
from mmsearch_app import search
from mmsearch_app.backends import get_index
from mmsearch_app.indexing import WorkerLoop, stamps, watch
from mmsearch_app.models import Entry, KnownIndex, Rebuild
from mmsearch_app.searching import SearchUnavailable
from tests.faults.child import Job, Process, process
from tests.faults.comparison import differences
from tests.faults.servers import Bucket, Milvus, Redis
from tests.faults.visitor import Visitor
from tests.faults.wire import Wire
from tests.shop import add_picture, picture
from tests.waiting import until

TITLES = [
    f"{colour} {kind}"
    for kind in ("mug", "shirt", "bag", "lamp")
    for colour in ("red", "green", "blue")
]
FIELD: Any = ProductImage._meta.get_field("original")
SERVER, LITE = "Milvus server", "Milvus Lite"
FILES, S3 = "files", "S3"
BASE: dict[str, Any] = {
    "EMBEDDER": {"BACKEND": "tests.faults.models.Embedder"},
    "BATCH_SIZE": 4,
    "LEASE_SECONDS": 1,
    "RETRY_SECONDS": 1,
    "POLL_SECONDS": 0.05,
    "STORAGE_SECONDS": 1.0,
    "MODEL_SECONDS": 1.5,
    "THROTTLE_RATE": None,
    "WARM_UP": False,
}
"""Short waits; what matters for safety is as in any shop."""


class Scene:
    """The shop, its index and its servers. One for all faults: each leaves it as it was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kind: tuple[str, str] | None = None
        self._override: Any = None
        self.settings: dict[str, Any] = {}
        self.visitor = Visitor()
        """Who searches during the fault at hand."""
        self._local = FIELD.storage

    # Servers, started when they are needed first

    @cached_property
    def milvus(self) -> Milvus:
        return Milvus(self.folder / "milvus")

    @cached_property
    def milvus_wire(self) -> Wire:
        return Wire(self.milvus.port)

    @cached_property
    def bucket(self) -> Bucket:
        bucket = Bucket()
        bucket.create()
        return bucket

    @cached_property
    def bucket_wire(self) -> Wire:
        return Wire(self.bucket.port)

    @cached_property
    def redis(self) -> Redis:
        return Redis(self.folder)

    def close(self) -> None:
        self._leave()
        for name in ("milvus_wire", "bucket_wire", "milvus", "bucket", "redis"):
            if name in vars(self):
                vars(self)[name].close()

    # The shop

    def prepare(self, *, index: str, storage: str) -> None:
        """Make sure that shop and index agree, with the same products as before every fault."""
        connection.close()
        if self._kind != (index, storage):
            self._move(index, storage)
        self._restock()
        work_until_quiet()
        if differences():  # an earlier fault was not healed: its own test has failed
            self._move(index, storage)
            self._restock()
            work_until_quiet()
        assert differences() == []
        # For some seconds after an index that hung, nobody waits for it.
        until(_is_answered, seconds=60)

    def product(self, number: int) -> Product:
        return Product.objects.get(sku=f"F-{number}")

    def image(self, number: int) -> ProductImage:
        return ProductImage.objects.get(product__sku=f"F-{number}")

    def retitle(self, number: int, title: str) -> None:
        product = self.product(number)
        product.title = title
        product.save()

    def _restock(self) -> None:
        Product.objects.exclude(sku__in=[f"F-{n}" for n in range(len(TITLES))]).delete()
        category, _ = Category.objects.get_or_create(name="All", slug="all")
        for number, title in enumerate(TITLES):
            found = Product.objects.filter(sku=f"F-{number}").first()
            if found is None or not _is_intact(found, number, title):
                if found is not None:
                    found.delete()
                stock(number, title, category)

    def _move(self, index: str, storage: str) -> None:
        """Start anew: an empty shop with this storage, and no index."""
        self._leave()
        Product.objects.all().delete()
        for model in (Entry, Rebuild, KnownIndex):
            model.objects.all().delete()
        name = f"faults_{uuid.uuid4().hex}"
        options: dict[str, Any] = {"collection": name, "timeout": 60.0, "consistency": "Strong"}
        if index == SERVER:
            options["uri"] = f"http://127.0.0.1:{self.milvus_wire.port}"
        else:
            options["uri"] = str(self.folder / f"{name}.db")
        backend = "mmsearch_app.indexes.milvus.MilvusIndex"
        self.configure({**BASE, "INDEX": {"BACKEND": backend, "OPTIONS": options}})
        FIELD.storage = self.bucket.storage(self.bucket_wire.port) if storage == S3 else self._local
        self._kind = index, storage

    def configure(self, mmsearch: dict[str, Any]) -> None:
        """Use these settings from now on."""
        self._disable()
        self.settings = {"MMSEARCH": mmsearch, "MEDIA_ROOT": str(self.folder / "media")}
        self._override = override_settings(**self.settings)
        self._override.enable()

    @contextmanager
    def using(self, **keys: Any) -> Iterator[None]:
        """Use other values for keys of MMSEARCH during the block."""
        before = self.settings["MMSEARCH"]
        get_index().close()
        self.configure({**before, **keys})
        try:
            yield
        finally:
            get_index().close()
            self.configure(before)

    def _leave(self) -> None:
        if self._override is not None:
            get_index().close()
        self._disable()
        FIELD.storage = self._local

    def _disable(self) -> None:
        if self._override is not None:
            self._override.disable()
        self._override = None

    # Processes

    def run(
        self, *command: Any, step: str = "", deadly: bool = False
    ) -> AbstractContextManager[Process]:
        """Run a command of Django, or a function, in a process of its own; see `Job`."""
        used = connection.settings_dict
        job = Job(
            command=command,
            database={name: used[name] for name in ("NAME", "HOST", "PORT", "USER", "PASSWORD")},
            settings=self.settings,
            step=step,
            deadly=deadly,
        )
        return process(job)

    @contextmanager
    def impatient(self, seconds: float = 1.0) -> Iterator[None]:
        """Wait for Milvus no longer than `seconds` a call."""
        index: Any = get_index()
        before, index._connection.timeout = index._connection.timeout, seconds
        try:
            yield
        finally:
            index._connection.timeout = before


def stock(
    number: int, title: str, category: Category | None = None, *, pk: int | None = None
) -> None:
    """Put a product with one picture on sale."""
    product = Product.objects.create(
        pk=pk, sku=f"F-{number}", slug=f"f-{number}", title=title, price=10 + number, stock=3
    )
    product.categories.add(category or Category.objects.get(slug="all"))
    add_picture(product, title.split()[0], side=32 + number)


def _is_answered() -> bool:
    try:
        search("mug")
    except SearchUnavailable:
        return False
    return True


def _is_intact(product: Product, number: int, title: str) -> bool:
    fields: tuple[Any, ...] = (product.title, product.is_public, product.price)
    images = list(product.images.all())
    if fields != (title, True, 10 + number) or len(images) != 1:
        return False
    with suppress(Exception), images[0].original.open() as file:
        return bool(file.read() == picture(title.split()[0], side=32 + number))
    return False


# What heals


def pass_time() -> None:
    """As if the waits were over: of attempts that failed, and until the next look at the index."""
    watch._watch.next = watch._watch.next_sample = 0
    stamps.forget()
    Entry.objects.filter(due_at__isnull=False).update(due_at=timezone.now())


def work_for_a_while() -> None:
    """What a worker does in one turn, after all waits but leases."""
    pass_time()
    loop = WorkerLoop()
    try:
        loop.turn()
    finally:
        loop.release()


def is_quiet() -> bool:
    """Whether nothing is left to do for a worker."""
    busy = Entry.objects.filter(due_at__isnull=False).exists()
    return not busy and not Rebuild.objects.filter(open=True).exists()


def work_until_quiet(*, seconds: float = 60) -> None:
    """Let a worker do all that is to be done; ends after `seconds` in any case."""
    until = time.monotonic() + seconds
    work_for_a_while()
    while not is_quiet() and time.monotonic() < until:
        time.sleep(0.05)
        work_for_a_while()


def _by_command(*command: str) -> Callable[[], None]:
    def heal() -> None:
        with suppress(CommandError):  # tried again until the time is over
            call_command(*command, verbosity=0)
            work_until_quiet(seconds=5)

    return heal


WORKER = "a worker"
RECONCILE = "mmsearch_reconcile"
DEEP = "mmsearch_reconcile --deep"
REREAD = "mmsearch_reconcile --files"
REINDEX = "mmsearch_reindex"
HEALERS: dict[str, Callable[[], None]] = {
    WORKER: work_for_a_while,
    **{name: _by_command(*name.split()) for name in (RECONCILE, DEEP, REREAD, REINDEX)},
}


def heal(healer: Callable[[], None], *, seconds: float) -> list[str]:
    """Heal until nothing differs, or `seconds` are over; returns what still differs."""
    until = time.monotonic() + seconds
    while True:
        connections["default"].close_if_unusable_or_obsolete()
        healer()
        found = differences()
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.1)
