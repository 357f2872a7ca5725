"""Pictures per second of indexing, as ratios to the model alone and to a loop one by one.

    python -m benchmarks.indexing [--model visualized-bge-base | starter | waiting]
        [--pictures 64] [--rounds 3] [--index lite | memory] [--storage 0]
        [--memory ROWS [--side 32]] [--opening]

Every round does the same pictures five times, in this order:

- model: the embedder alone, in its own batches, on pictures that are decoded already;
- Pillow: only decodes the files, at their full size, which no indexing can do without;
- reindex: what `mmsearch_reindex` does, from the files to a new live generation;
- workers: what `mmsearch_worker` does with the same pictures marked as changed;
- one by one: the loop of a notebook: open with Pillow, one call of the model, one insert.

Ratios are those of each round, by CPU time of the process (a busy machine disturbs it less) and
by wall time: the median, and the lowest and highest. A ratio to the model of 1 means that indexing
costs nothing beside it; one to model + Pillow, nothing beside decoding. Visualized BGE has its
real architecture and random weights, which run at the same speed. The pictures are files of the
sizes and formats that shops have.

With `--storage 0.05` every file takes so many seconds to arrive, as from another machine, and
`--model waiting` is a model that takes 20 ms a picture on another machine: then wall time shows
what it gains that one batch is read while another one is embedded or written.

`--memory N` measures instead how much the process grows while N rows are reindexed, with an
embedder and an index that keep nothing, and pictures of 32 pixels or of `--side`: a hundred
thousand small ones take some minutes, and large ones show what decoded pictures take, which does
not grow with the rows. `--opening` measures what it costs to
open one file of each kind: with Pillow alone, to 1024 pixels, and for an embedder that reads 224
(`image_side = 448`), all in turn; the fewest milliseconds of CPU time of `--rounds` count.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from mmsearch_app.embedders import Embedder
    from mmsearch_app.inference import Content

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

SHAPES = (
    (1200, 1600, "JPEG"),
    (1600, 1600, "JPEG"),
    (800, 800, "JPEG"),
    (2000, 2000, "JPEG"),
    (1000, 1250, "WEBP"),
    (800, 800, "PNG"),
    (600, 800, "JPEG"),
    (2400, 1600, "JPEG"),
)
WARM = 500
"""Rows that are indexed before the memory is measured."""
FILES = 50
CHUNK = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="visualized-bge-base")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--index", choices=["lite", "memory"], default="lite")
    parser.add_argument("--storage", type=float, default=0.0, help="seconds an image")
    parser.add_argument("--memory", type=int, default=0, metavar="ROWS")
    parser.add_argument("--side", type=int, default=32, help="pixels of pictures for --memory")
    parser.add_argument("--opening", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHOP_DATA"] = folder
        if options.memory:
            measure_memory(options.memory, side=options.side)
        elif options.opening:
            measure_opening(options.rounds)
        else:
            compare(options, Path(folder))


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Print the speed of each way, and the ratios."""
    set_up(embedder=options.model, index=options.index, folder=folder)
    fill(options.pictures)
    ways = make_ways(folder, wait=options.storage)
    slow_down(options.storage)
    times: dict[str, list[Taken]] = {name: [] for name in ways}
    for number in range(options.rounds + 1):
        for name, work in ways.items():
            taken = measure(work)
            if number:  # the first round warms up
                times[name].append(taken)
                print(f"  {name}: {taken.cpu:.1f} s CPU, {taken.wall:.1f} s", flush=True)
    print(f"\n{options.model}, {options.pictures} pictures, index: {options.index}")
    for name in ways:
        wall = statistics.median(taken.wall for taken in times[name])
        cpu = statistics.median(taken.cpu for taken in times[name])
        print(
            f"{name:<12}{options.pictures / wall:>8.2f} pictures/s"
            f"{1000 * cpu / options.pictures:>9.1f} ms CPU a picture"
        )
    for name in ("reindex", "workers"):
        print_ratio(f"{name} / model", times["model"], times[name])
    together = [
        Taken(cpu=model.cpu + files.cpu, wall=model.wall + files.wall)
        for model, files in zip(times["model"], times["Pillow"], strict=True)
    ]
    for name in ("reindex", "workers"):
        print_ratio(f"{name} / model + Pillow", together, times[name])
    for name in ("reindex", "workers"):
        print_ratio(f"{name} / one by one", times["one by one"], times[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    cpu: float
    wall: float


def measure(work: Callable[[], object]) -> Taken:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Taken(cpu=time.process_time() - cpu, wall=time.perf_counter() - wall)


def print_ratio(name: str, base: Sequence[Taken], other: Sequence[Taken]) -> None:
    """Print how many times as fast `other` is as `base`."""
    pairs = list(zip(base, other, strict=True))
    columns = {
        "CPU": [b.cpu / o.cpu for b, o in pairs],
        "wall": [b.wall / o.wall for b, o in pairs],
    }
    spread = (
        f"{label} {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        for label, ratios in columns.items()
    )
    print(f"{name:<26}{', '.join(spread)}")


def set_up(*, embedder: str, index: str, folder: Path) -> None:
    """Configure a shop with this embedder and index, and create its tables."""
    import django
    from django.conf import settings

    places = {
        "lite": {
            "BACKEND": "mmsearch_app.indexes.milvus.MilvusIndex",
            "OPTIONS": {"uri": str(folder / "milvus.db")},
        },
        "memory": {"BACKEND": "mmsearch_app.indexes.memory.MemoryIndex"},
        "none": {"BACKEND": "benchmarks.indexing.make_forgetful_index"},
    }
    settings.DEBUG = False  # Django would keep every statement
    settings.MMSEARCH = {
        "EMBEDDER": {"BACKEND": "benchmarks.indexing.make_embedder", "OPTIONS": {"name": embedder}},
        "INDEX": places[index],
    }
    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)


def make_embedder(*, name: str) -> Any:
    if name == "starter":
        from mmsearch_app.embedders.starter import StarterEmbedder

        return StarterEmbedder()
    if name in ("testing", "waiting"):
        return make_quick(0.02 if name == "waiting" else 0.0)
    from benchmarks.random_models import build

    return build(name, "float32")


def make_quick(seconds: float) -> Embedder:
    """Return an embedder that takes no work, and `seconds` of waiting an image."""
    from mmsearch_app.testing import TestingEmbedder

    class Waiting(TestingEmbedder):
        image_side = 448

        def embed_documents(self, contents: Sequence[Content]) -> Any:
            time.sleep(seconds * len(contents))
            return super().embed_documents(contents)

    return Waiting()


def slow_down(seconds: float) -> None:
    """Let the storage take so many seconds a file."""
    from mmsearch_app import images

    read = images.read_bytes

    def read_slowly(*args: Any, **caps: Any) -> bytes:
        time.sleep(seconds)
        return read(*args, **caps)

    images.read_bytes = read_slowly


def make_picture(seed: int) -> tuple[bytes, str]:
    """Return a file, and its ending."""
    shape = SHAPES[seed % len(SHAPES)]
    return draw(shape, seed=seed), shape[2].lower()


def draw(shape: tuple[int, int, str], *, seed: int) -> bytes:
    """Return a file with about the detail of a product photograph."""
    width, height, kind = shape
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 255, (height // 20, width // 20, 3), np.uint8))
    image = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = random.integers(-3, 4, image.shape, dtype=np.int16)
    buffer = BytesIO()
    Image.fromarray((image + grain).clip(0, 255).astype(np.uint8)).save(buffer, kind, quality=85)
    return buffer.getvalue()


def fill(count: int) -> None:
    from django.core.files.base import ContentFile

    from example_shop.models import Product, ProductImage

    product = Product.objects.create(title="red mug", sku="1", slug="1")
    for number in range(count):
        data, ending = make_picture(number)
        file = ContentFile(data, name=f"{number}.{ending}")
        ProductImage.objects.create(product=product, original=file)


def make_ways(folder: Path, *, wait: float) -> dict[str, Callable[[], None]]:
    from mmsearch_app.backends import get_embedder

    contents = decode_all()
    insert = make_insert(folder)

    def model() -> None:
        get_embedder().embed_documents(contents)

    return {
        "model": model,
        "Pillow": load_all,
        "reindex": reindex,
        "workers": workers,
        "one by one": lambda: one_by_one(insert, wait=wait),
    }


def load_all() -> None:
    from example_shop.models import ProductImage

    for row in ProductImage.objects.all():
        with Image.open(row.original.path) as image:
            image.load()


def decode_all() -> list[Content]:
    """Return the pictures as the embedder gets them."""
    from example_shop.models import ProductImage
    from mmsearch_app import mark
    from mmsearch_app.indexing import documents
    from mmsearch_app.models import Entry

    mark(ProductImage.objects.all())
    prepared = documents.prepare(list(Entry.objects.order_by("pk")))
    return [document.content for document in prepared.documents]


def reindex() -> None:
    from mmsearch_app.indexing.rebuild import rebuild_index

    rebuild_index()
    require_indexed()


def workers() -> None:
    from example_shop.models import ProductImage
    from mmsearch_app import mark
    from mmsearch_app.indexing import drain

    mark(ProductImage.objects.all(), force=True)
    drain()
    require_indexed()


def require_indexed() -> None:
    from mmsearch_app.models import Entry, State

    if Entry.objects.exclude(state=State.INDEXED, due_at=None).exists():
        raise SystemExit("Some pictures were not indexed.")


def make_insert(folder: Path) -> Callable[[int, Any], None]:
    """Return what a notebook calls for each vector."""
    from pymilvus import MilvusClient

    from mmsearch_app.backends import get_embedder

    client = MilvusClient(str(folder / "notebook.db"))
    client.create_collection("notebook", dimension=get_embedder().dimension)

    def insert(pk: int, vector: Any) -> None:
        client.insert("notebook", [{"id": pk, "vector": vector, "product": "1"}])

    return insert


def one_by_one(insert: Callable[[int, Any], None], *, wait: float) -> None:
    from example_shop.models import ProductImage
    from mmsearch_app.backends import get_embedder
    from mmsearch_app.inference import Content

    for row in ProductImage.objects.all():
        time.sleep(wait)
        with Image.open(row.original.path) as image:
            content = Content(image=image.convert("RGB"), text=row.product.title)
        insert(row.pk, get_embedder().embed_documents([content])[0])


def measure_opening(rounds: int) -> None:
    """Print the CPU time of opening one file of each kind, as ratios to Pillow alone."""
    from mmsearch_app.conf import Settings
    from mmsearch_app.images import open_image

    caps = Settings().stored_caps

    def load(data: bytes) -> None:
        Image.open(BytesIO(data)).load()

    ways: dict[str, Callable[[bytes], object]] = {
        "Pillow": load,
        "to 1024": lambda data: open_image(data, **caps),
        "for 224": lambda data: open_image(data, enough=448, longest_side=1344, **caps),
    }
    print(f"{'':<20}{'Pillow ms':>10}" + "".join(f"{n:>10}{'ratio':>7}" for n in [*ways][1:]))
    for shape in (*SHAPES, (2160, 2160, "PNG"), (4000, 3000, "JPEG")):
        data = draw(shape, seed=0)
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(rounds):
            for name, way in ways.items():
                best[name] = min(best[name], measure(partial(way, data)).cpu * 1000)
        plain, *others = best.values()
        print(
            f"{shape[2]} {shape[0]} x {shape[1]}".ljust(20)
            + f"{plain:>10.0f}"
            + "".join(f"{each:>10.0f}{each / plain:>7.2f}" for each in others),
            flush=True,
        )


def measure_memory(rows: int, *, side: int) -> None:
    """Print by how much the peak of the process exceeds what it takes when idle."""
    set_up(embedder="testing", index="none", folder=Path(os.environ["SHOP_DATA"]))
    warm = min(WARM, rows // 2)
    fill_alike(warm, side=32)
    reindex()
    fill_alike(rows - warm, side=side)
    gc.collect()
    for name, work in (("reindex", reindex), ("workers", workers)):
        idle = read_status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        taken = measure(work)
        grown = read_status("VmHWM") - idle
        print(
            f"{name:<10}{rows:>8,} rows: {grown / 2**20:.0f} MB above {idle / 2**20:.0f} MB idle, "
            f"{1000 * taken.cpu / rows:.2f} ms CPU a row",
            flush=True,
        )


def read_status(key: str) -> int:
    """Return bytes that Linux reports about this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * 1024


def fill_alike(count: int, *, side: int) -> None:
    """Add rows that share a few files."""
    from django.core.files.base import ContentFile

    from example_shop.models import Product, ProductImage

    product, _ = Product.objects.get_or_create(title="red mug", sku="1", slug="1")
    names = []
    for shade in range(FILES):
        buffer = BytesIO()
        Image.new("RGB", (side, side), (shade, 80, 160)).save(buffer, "JPEG")
        row = ProductImage(product=product)
        row.original.save(f"{shade}.jpg", ContentFile(buffer.getvalue()), save=False)
        names.append(row.original.name)
    images = (ProductImage(product=product, original=names[n % FILES]) for n in range(count))
    while some := list(islice(images, CHUNK)):
        ProductImage.objects.bulk_create(some)


def make_forgetful_index() -> Any:
    """Return an index that only counts: what an index keeps is not the memory of indexing."""
    from mmsearch_app.testing import TestingIndex

    class Forgetful(TestingIndex):
        def __init__(self) -> None:
            super().__init__()
            self.counts: dict[str, int] = {}

        def upsert(self, records: Sequence[Any], *, generation: str) -> None:
            self.counts[generation] = self.counts.get(generation, 0) + len(records)

        def count(self, *, generation: str) -> int:
            return self.counts.get(generation, 0)

    return Forgetful()


if __name__ == "__main__":
    main()
