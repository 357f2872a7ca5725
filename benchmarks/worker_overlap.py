"""Images per second of a worker: reading, embedding and writing in turn, and overlapped.

    python -m benchmarks.worker_overlap --images 256 --storage 0.05 --model 0.02

Storage and model wait for so many seconds an image, as those of other machines do; the images are
real files, which are decoded, and the index is in memory. Both ways run on the same entries.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=1600, help="pixels of each side")
    parser.add_argument("--storage", type=float, default=0.05, help="seconds an image")
    parser.add_argument("--model", type=float, default=0.02, help="seconds an image")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHOP_DATA"] = folder
        prepare(options)
        slow_down(options)
        seconds = {name: measure(work) for name, work in WAYS.items()}
    for name, taken in seconds.items():
        print(f"{name}: {taken:.1f} s, {options.images / taken:.1f} images/s")
    print(f"ratio: {seconds['in turn'] / seconds['overlapped']:.2f}")


def prepare(options: Any) -> None:
    """Fill a shop with images of noise-free gradients, each with other bytes."""
    import django

    django.setup()
    from django.core.files.base import ContentFile
    from django.core.management import call_command
    from PIL import Image

    from tests.pictures import encode

    call_command("migrate", run_syncdb=True, verbosity=0)
    from example_shop.models import Product, ProductImage

    product = Product.objects.create(title="mug", sku="1", slug="1")
    gradient = Image.linear_gradient("L").resize((options.side, options.side)).convert("RGB")
    for number in range(options.images):
        gradient.putpixel((number, 0), (number % 256, 0, 0))
        file = ContentFile(encode(gradient, "JPEG"), name=f"{number}.jpg")
        ProductImage.objects.create(product=product, original=file)


def slow_down(options: Any) -> None:
    from mmsearch_app import images
    from mmsearch_app.backends import get_embedder

    embedder: Any = get_embedder()
    embed, read = embedder.embed_documents, images.read_bytes

    def embed_slowly(contents: Sequence[Any]) -> Any:
        time.sleep(options.model * len(contents))
        return embed(contents)

    def read_slowly(*args: Any, **caps: Any) -> bytes:
        time.sleep(options.storage)
        return read(*args, **caps)

    embedder.embed_documents = embed_slowly
    images.read_bytes = read_slowly


def in_turn() -> None:
    """Work as before: all steps of a batch in one thread, then the next batch."""
    from mmsearch_app.conf import get_settings
    from mmsearch_app.indexing import ledger
    from mmsearch_app.indexing.overlap import run_alone
    from mmsearch_app.indexing.worker import work_off

    while entries := ledger.claim(get_settings().BATCH_SIZE):
        run_alone(work_off(entries))


def overlapped() -> None:
    from mmsearch_app.indexing import drain

    drain()


WAYS: dict[str, Callable[[], None]] = {"in turn": in_turn, "overlapped": overlapped}


def measure(work: Callable[[], None]) -> float:
    """Return the seconds that the work takes on all images."""
    from example_shop.models import ProductImage
    from mmsearch_app import mark
    from mmsearch_app.models import Entry

    mark(ProductImage.objects.all(), force=True)
    begun = time.monotonic()
    work()
    if Entry.objects.filter(due_at__isnull=False).exists():
        raise SystemExit("Some images were not indexed.")
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
