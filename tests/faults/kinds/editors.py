"""Changes that come at a bad moment, are taken back, or send no signal."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress

from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F

from example_shop.models import Product, ProductImage
from mmsearch_app import paused
from tests.faults.faults import SERVED, fault
from tests.faults.scene import RECONCILE, Scene, stock, work_for_a_while
from tests.faults.steps import BATCH, at
from tests.shop import picture_file

GROUP = "Editors"
_DURING = ("while the images are read", "while the model embeds", "after the write")


class _Undo(Exception):
    """Rolls a transaction back."""


def _edited_during(step: str) -> None:
    @fault(f"A title is changed, and changed back {step}", group=GROUP)
    def undo(scene: Scene) -> None:
        title = scene.product(0).title
        scene.retitle(0, "zebra mug")
        with at(step, lambda: scene.retitle(0, title)):
            work_for_a_while()


for name in BATCH:
    _edited_during(name)


def _replaced_during(step: str) -> None:
    @fault(f"A product is deleted, and another one gets its key, {step}", group=GROUP)
    def recreate(scene: Scene) -> None:
        def replace() -> None:
            product = scene.product(0)
            pk = product.pk
            product.delete()
            stock(0, "blue zebra", pk=pk)

        scene.retitle(0, "zebra mug")
        with at(step, replace):
            work_for_a_while()

    @fault(f"A picture is replaced {step}", group=GROUP)
    def replace_picture(scene: Scene) -> None:
        def replace() -> None:
            image = scene.image(0)
            image.original = picture_file("green", side=90)
            image.save()

        scene.retitle(0, "zebra mug")
        with at(step, replace):
            work_for_a_while()

    @fault(f"A product is taken off sale {step}", group=GROUP)
    def unpublish(scene: Scene) -> None:
        def hide() -> None:
            product = scene.product(0)
            product.is_public = False
            product.save()

        scene.retitle(0, "zebra mug")
        with at(step, hide):
            work_for_a_while()


for name in _DURING:
    _replaced_during(name)


@fault("A transaction is rolled back", group=GROUP)
def _rolled_back(scene: Scene) -> None:
    with suppress(_Undo), transaction.atomic():
        scene.retitle(0, "zebra mug")
        scene.product(1).delete()
        raise _Undo


@fault("A savepoint is rolled back, the transaction is not", group=GROUP)
def _savepoint(scene: Scene) -> None:
    with transaction.atomic():
        scene.retitle(0, "zebra mug")
        with suppress(_Undo), transaction.atomic():
            scene.retitle(0, "no zebra")
            scene.product(1).delete()
            raise _Undo


@fault("A transaction is rolled back after a worker has looked", group=GROUP)
def _rolled_back_late(scene: Scene) -> None:
    scene.retitle(1, "zebra shirt")
    with suppress(_Undo), transaction.atomic():
        scene.retitle(0, "zebra mug")
        with scene.run("mmsearch_worker", "--once", "--verbosity=0") as worker:
            worker.end()
        raise _Undo


@fault("Products come by bulk_create", group=GROUP, heals=RECONCILE)
def _bulk_create(scene: Scene) -> None:
    numbers = range(20, 24)
    products = Product.objects.bulk_create(
        Product(sku=f"B-{n}", slug=f"b-{n}", title="bulk zebra", price=5) for n in numbers
    )
    name = scene.image(0).original.name
    ProductImage.objects.bulk_create(
        ProductImage(product=product, original=name) for product in products
    )


@fault("Prices change by update()", group=GROUP, heals=RECONCILE)
def _update(scene: Scene) -> None:
    Product.objects.update(price=F("price") + 1)


@fault("Products are taken off sale by update()", group=GROUP, heals=RECONCILE)
def _update_hides(scene: Scene) -> None:
    Product.objects.filter(sku__in=["F-0", "F-1", "F-2"]).update(is_public=False)


@fault("Titles change by SQL", group=GROUP, heals=RECONCILE)
def _sql(scene: Scene) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE example_shop_product SET title = 'sql ' || title")


@fault("Rows are deleted by SQL", group=GROUP, heals=RECONCILE)
def _sql_delete(scene: Scene) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM example_shop_productimage WHERE id IN (%s, %s)",
            [scene.image(0).pk, scene.image(1).pk],
        )


@fault("Tables are truncated", group=GROUP, heals=RECONCILE, may_be_empty=True)
def _truncate(scene: Scene) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE example_shop_productimage RESTART IDENTITY CASCADE")


@fault("Truncated rows come back with the keys of others", group=GROUP, heals=RECONCILE)
def _truncate_and_refill(scene: Scene) -> None:
    rows = list(ProductImage.objects.order_by("pk").values("pk", "product_id", "original"))
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE example_shop_productimage CASCADE")
    for row, other in zip(rows, reversed(rows), strict=True):
        ProductImage.objects.bulk_create(
            [ProductImage(pk=row["pk"], product_id=other["product_id"], original=row["original"])]
        )


@fault("Rows change by a fixture", group=GROUP, heals=RECONCILE)
def _fixture(scene: Scene) -> None:
    fields = {"sku": "F-0", "slug": "f-0", "title": "zebra of a fixture", "price": "3.00"}
    row = {"model": "example_shop.product", "pk": scene.product(0).pk, "fields": fields}
    path = scene.folder / "rows.json"
    path.write_text(json.dumps([row]))
    call_command("loaddata", str(path), verbosity=0)


def import_and_die() -> None:
    """Change titles in a `paused` block, and be killed before it ends."""
    with paused():
        for product in Product.objects.all():
            product.title = f"imported {product.title}"
            product.save()
        os.kill(os.getpid(), signal.SIGKILL)


@fault("An import is killed inside of paused()", group=GROUP, heals=RECONCILE)
def _paused(scene: Scene) -> None:
    with scene.run(import_and_die) as process:
        assert process.end() == -signal.SIGKILL


@fault("An import raises inside of paused()", group=GROUP, statuses=SERVED)
def _paused_raises(scene: Scene) -> None:
    with suppress(_Undo), paused():
        for number in range(12):
            scene.retitle(number, f"imported {number}")
        raise _Undo
