"""Measure what a search costs beside the model and Milvus, on the page and through the API.

    python -m benchmarks.search [--rows 1000 10000 100000] [--engines lite server]
    python -m benchmarks.search --against HEAD~1
    python -m benchmarks.search --demo FOLDER [--against REVISION]

A shop with N pictures, two per product, is asked by words, by an uploaded picture + words, by a
product + words, and by a product alone, each without and with two filters, on the page and through
the API: through Django's test client, so with its middleware, forms, templates and serializers,
but without a web server. Every question is new. Vectors are random and cost nothing.

Prints milliseconds: the median (p50) and the 95th percentile of the whole request, and the medians
of the model, of Milvus' own calls `search` and `query`, of opening and encoding pictures, and of
the rest of each request; "CPU" is the processor time of that rest. "again" asks each question of
the round before once more.

With `--demo`, the questions go to the example shop as `make demo` has built it in FOLDER (var),
with the starter embedder. `--against` measures another commit beside this one, in turns, on the
same data.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PAGE, API = "/find/", "/api/mmsearch/v1/search/"
KINDS = ("words", "picture + words", "product + words", "product")
FILTERS = {"category": "1", "price__lte": "60"}
STAGES = ("total", "model", "milvus", "pictures", "rest", "cpu")
HEAD = f"{'':<44}{'p50':>7}{'p95':>7}{'model':>8}{'Milvus':>8}{'pictures':>9}{'rest':>7}{'CPU':>7}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--engines", nargs="+", choices=["lite", "server"])
    parser.add_argument("--searches", type=int, default=30, help="of each kind, in each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--against", metavar="REVISION")
    parser.add_argument("--demo", metavar="FOLDER")
    parser.add_argument("--fill", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill:
        fill(options.fill)
    elif options.measure:
        measure(options.measure)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Measure every size and engine, in turns with the other commit if there is one."""
    with ExitStack() as stack:
        trees = {"": ROOT}
        if options.against:
            other = stack.enter_context(checkout(options.against))
            trees = {f" {options.against}": other, "": ROOT}
        if options.demo:
            environment = {"SHOP_DATA": str(Path(options.demo).resolve()), "STARTER": "1"}
            report(f"demo, {options.demo}", trees, environment, options)
            return
        for engine, rows in itertools.product(options.engines or ["lite", "server"], options.rows):
            with ExitStack() as data:
                environment = prepare(engine, rows, data)
                if environment:
                    report(f"Milvus {engine}, {rows:,} pictures", trees, environment, options)


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Check the commit out in a folder of its own, and remove that at the end."""
    with tempfile.TemporaryDirectory(prefix="mmsearch-old-") as folder:
        tree = Path(folder, "tree")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def prepare(engine: str, rows: int, stack: ExitStack) -> dict[str, str]:
    """Fill a shop and its index; return the environment of a process that searches it."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mmsearch-search-"))
    environment = {"SHOP_DATA": folder}
    if engine == "server":
        from tests.indexes.milvus_server import find_obstacle, serve

        if obstacle := find_obstacle():
            print(f"Milvus server skipped: {obstacle}")
            return {}
        environment["MILVUS_URI"] = stack.enter_context(serve(Path(folder, "milvus")))
    run(ROOT, environment, f"--fill={rows}")
    return environment


def report(
    title: str, trees: dict[str, Path], environment: dict[str, str], options: argparse.Namespace
) -> None:
    """Measure each tree in turns, and print a line for each kind of question."""
    import numpy as np

    print(f"\n{title}\n{HEAD}", flush=True)
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(options.rounds):
        for name, tree in trees.items():
            output = run(tree, environment, f"--measure={options.searches}")
            for kind, times in json.loads(output.splitlines()[-1]).items():
                found.setdefault((kind, name), []).extend(times)
    for (kind, name), times in sorted(found.items(), key=lambda item: item[0][0]):
        medians = [float(np.median([one[stage] for one in times])) for stage in STAGES]
        p95 = float(np.percentile([one["total"] for one in times], 95))
        p50, model, milvus, pictures, rest, cpu = medians
        print(
            f"{kind + name:<44}{p50:>7.1f}{p95:>7.1f}{model:>8.1f}{milvus:>8.1f}{pictures:>9.1f}"
            f"{rest:>7.1f}{cpu:>7.1f}",
            flush=True,
        )


def run(tree: Path, environment: dict[str, str], *arguments: str) -> str:
    """Run a step of this file with the packages of a tree; return what it prints."""
    every = {**os.environ, **environment, "DJANGO_SETTINGS_MODULE": "search_settings"}
    every["PYTHONPATH"] = str(tree)
    command = [sys.executable, str(HERE / "search.py"), *arguments]
    done = subprocess.run(command, check=True, env=every, cwd=tree, stdout=subprocess.PIPE)
    return done.stdout.decode()


# What runs in a process of its own


def fill(rows: int) -> None:
    """Make products with two pictures each, and an index of random vectors."""
    import django

    django.setup()
    import numpy as np
    from django.core.management import call_command
    from django.utils import timezone

    from example_shop.models import Category, Product, ProductImage
    from mmsearch_app.models import Entry, State

    call_command("migrate", verbosity=0)
    shelves = [Category.objects.create(name=f"shelf {n}", slug=f"shelf-{n}") for n in range(10)]
    products = Product.objects.bulk_create(
        Product(sku=f"{n}", slug=f"p-{n}", title=f"thing {n}", price=n % 200)
        for n in range(rows // 2)
    )
    links = Product.categories.through
    links.objects.bulk_create(
        links(product_id=one.pk, category_id=shelves[n % 10].pk) for n, one in enumerate(products)
    )
    files = make_files(20)
    images = ProductImage.objects.bulk_create(
        ProductImage(product=products[n // 2], original=files[n % len(files)], position=n % 2)
        for n in range(rows)
    )
    Entry.objects.bulk_create(
        Entry(
            source="example_shop.productimage",
            object_pk=str(image.pk),
            state=State.INDEXED,
            marked_at=timezone.now(),
            digest=f"{image.pk:064x}",
        )
        for image in images
    )
    fill_index(images, np.random.default_rng(7))


def make_files(count: int) -> list[str]:
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    return [
        default_storage.save(f"products/{n}.jpg", ContentFile(make_picture(n, (1200, 1600))))
        for n in range(count)
    ]


def fill_index(images: Sequence[Any], random: Any) -> None:
    import numpy as np

    from mmsearch_app.backends import get_embedder, get_index
    from mmsearch_app.indexes.base import Record

    index, model = get_index(), get_embedder()
    name = index.create(fingerprint=model.fingerprint, dimension=model.dimension).name
    for start in range(0, len(images), 500):
        part = images[start : start + 500]
        vectors = random.normal(size=(len(part), model.dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        index.upsert(
            [
                Record(
                    id=f"example_shop.productimage:{image.pk}",
                    product=f"example_shop.product:{image.product_id}",
                    source="example_shop.productimage",
                    vector=vector,
                    digest=f"{image.pk:064x}",
                    content=f"{image.pk:064x}",
                    filters={
                        "category": str(1 + (image.product_id - 1) % 10),
                        "price": float((image.product_id - 1) % 200),
                    },
                )
                for image, vector in zip(part, vectors, strict=True)
            ],
            generation=name,
        )
    for _ in index.settle(generation=name):
        time.sleep(0.2)
    index.promote(name)
    index.close()


def make_picture(number: int, size: tuple[int, int]) -> bytes:
    """Return a JPEG of soft colours, as large in bytes as a photograph."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(number).integers(0, 256, (48, 36, 3)).astype(np.uint8)
    out = BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=85)
    return out.getvalue()


class Stopwatch:
    """Time spent in functions of others while a request runs, by stage."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.cpu = 0.0
        self.inside = False

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Count the time in `owner.name` from now on, unless it is called by a watched one."""
        function = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            if self.inside:
                return function(*args, **options)
            self.inside = True
            start, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*args, **options)
            finally:
                self.inside = False
                self.spent[stage] = self.spent.get(stage, 0.0) + time.perf_counter() - start
                self.cpu += time.thread_time() - cpu

        setattr(owner, name, timed)

    def time(self, ask: Callable[[], Any]) -> dict[str, float]:
        """Return the milliseconds of each stage of one request."""
        self.spent, self.cpu = {}, 0.0
        start, cpu = time.perf_counter(), time.thread_time()
        response = ask()
        total, used = time.perf_counter() - start, time.thread_time() - cpu
        assert response.status_code == 200, response.content[:2000]
        stages = {"total": total, "rest": total - sum(self.spent.values()), "cpu": used - self.cpu}
        every = dict.fromkeys(STAGES, 0.0) | self.spent | stages
        return {stage: 1000 * seconds for stage, seconds in every.items()}


def measure(searches: int) -> None:
    """Ask every kind of question, and print the times as JSON."""
    import django

    django.setup()
    from pymilvus import MilvusClient

    from mmsearch_app import images
    from mmsearch_app.backends import get_embedder, get_index

    clock = Stopwatch()
    clock.watch(MilvusClient, "search", "milvus")
    clock.watch(MilvusClient, "query", "milvus")
    for name in ("embed_queries", "describe_images", "compose_queries"):
        if hasattr(get_embedder(), name):
            clock.watch(get_embedder(), name, "model")
    clock.watch(images, "open_image", "pictures")
    clock.watch(images, "encode_jpeg", "pictures")
    found = {}
    for place, kind, filtered in itertools.product(("page", "API"), KINDS, (False, True)):
        asks = questions(place, kind, searches + 3, FILTERS if filtered else {})
        name = f"{place}: {kind}{' + filters' if filtered else ''}"
        times = [clock.time(ask) for ask in asks]
        found[name] = times[3:]
        if not filtered:
            found[f"{name}, again"] = [clock.time(ask) for ask in asks[3:]]
    get_index().close()
    print(json.dumps(found))


def questions(
    place: str, kind: str, count: int, filters: dict[str, Any]
) -> list[Callable[[], Any]]:
    """Return functions that ask one question each, through Django's test client."""
    from django.test import Client

    from example_shop.models import Product

    client = Client(headers={"host": "localhost"})
    start = count * (2 * (place == "page") + bool(filters))  # no question twice
    products = list(Product.objects.public().values_list("pk", flat=True)[start : start + count])
    asks = []
    for number in range(count):
        question: dict[str, Any] = dict(filters)
        if kind != "product":
            question["text"] = f"a {COLOURS[number % len(COLOURS)]} thing {start + number}"
        if kind.startswith("product"):
            question["like"] = str(products[number % len(products)])
        asks.append(one_ask(client, place, kind, question, start + number))
    return asks


COLOURS = ("red", "green", "blue", "yellow", "black", "striped", "plain")


def one_ask(
    client: Any, place: str, kind: str, question: dict[str, Any], number: int
) -> Callable[[], Any]:
    from django.core.files.uploadedfile import SimpleUploadedFile

    if kind == "picture + words":
        picture = make_picture(number, (900, 1200))
        address = PAGE if place == "page" else API
        return lambda: client.post(
            address, {**question, "image": SimpleUploadedFile("a.jpg", picture, "image/jpeg")}
        )
    if place == "page":
        return lambda: client.get(PAGE, question)
    return lambda: client.post(API, question, content_type="application/json")


if __name__ == "__main__":
    main()
