"""How long a search takes when the reranker hangs, compared with `RERANK_TIMEOUT`.

In the first kind of row, every search has a new guard and so waits for the whole deadline. In the
second, all searches share a guard, as in a shop: it stops calling a model that hangs.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from mmsearch_app.inference.content import Content
from mmsearch_app.rerankers.base import Ranking

SEARCHES = 100
DEADLINES = (0.1, 0.5)
PRODUCTS = 9
gate = threading.Event()


class Hanging:
    """A reranker that blocks until `gate` is set."""

    fingerprint = "hanging-1"

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        gate.wait(60)
        return Ranking(order=tuple(range(len(candidates))))


def render() -> str:
    """The table, with two rows per deadline."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from django.test.utils import override_settings, setup_databases, teardown_databases

    logging.getLogger("mmsearch_app").setLevel(logging.CRITICAL)
    databases = setup_databases(verbosity=0, interactive=False)
    lines = ["| the model hangs | deadline | searches | p50 | p99 | longest | in index order |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    try:
        for deadline in DEADLINES:
            with override_settings(MMSEARCH=choose(deadline)):
                fill()
                lines.append(ask("at every search", deadline, fresh=True))
                lines.append(ask("and the guard stops calling it", deadline, fresh=False))
    finally:
        gate.set()
        join()
        teardown_databases(databases, verbosity=0)
    return "\n".join(lines)


def choose(deadline: float) -> dict[str, Any]:
    """The value of MMSEARCH with the hanging reranker."""
    from mmsearch_app.testing import IN_MEMORY

    return {**IN_MEMORY, "RERANKER": {"BACKEND": f"{__name__}.Hanging"}, "RERANK_TIMEOUT": deadline}


def fill() -> None:
    """Create the products, and index them in the current index."""
    from example_shop.models import Product, ProductImage
    from mmsearch_app.indexing import ledger
    from mmsearch_app.models import Entry
    from mmsearch_app.testing import index_everything
    from tests.shop import picture_file

    for number in range(Product.objects.count(), PRODUCTS):
        product = Product.objects.create(
            title=f"red mug {number}", sku=f"M-{number}", slug=f"m-{number}", price=number
        )
        ProductImage.objects.create(product=product, original=picture_file(side=32 + number))
    ledger.retry(Entry.objects.all())
    index_everything()


def ask(title: str, deadline: float, *, fresh: bool) -> str:
    """Search again and again; with `fresh` before a guard that has seen nothing."""
    from mmsearch_app import search
    from mmsearch_app.searching import get_guard

    times, kept = [], 0
    plain = [hit.product for hit in search("red mug", rerank=False).hits]
    for number in range(SEARCHES):
        if fresh:
            get_guard.cache_clear()
        begun = time.perf_counter()
        answer = search(f"red mug, {title}, {deadline}, {number}")  # new words: nothing is cached
        times.append(time.perf_counter() - begun)
        if answer.ranked_by == "index" and len(answer.hits) == len(plain):
            kept += 1
        if fresh:
            release()
    times.sort()
    middle, late, last = (f"{1000 * times[place]:.0f} ms" for place in (49, 98, 99))
    cells = f"{1000 * deadline:.0f} ms | {SEARCHES} | {middle} | {late} | {last}"
    return f"| {title} | {cells} | {kept}/{SEARCHES} |"


def release() -> None:
    """Let the hanging calls return, then close the gate again."""
    gate.set()
    join()
    gate.clear()


def join() -> None:
    """Wait for the threads of the reranker."""
    for thread in threading.enumerate():
        if thread.name == "mmsearch-rerank":
            thread.join(60)
