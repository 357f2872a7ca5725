"""Try all parts: embedder, index, storage, ledger, reranker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mmsearch_app import images
from mmsearch_app.backends import get_embedder, get_index, get_reranker
from mmsearch_app.conf import get_settings
from mmsearch_app.embedders import find_preset
from mmsearch_app.indexing import ledger
from mmsearch_app.inference import Content
from mmsearch_app.sources import ImageSource, registry

_ROWS = 50
"""How many rows of a source are searched for an image."""


class Command(BaseCommand):
    """Loads weights and opens connections, which nothing does at start-up."""

    help = (
        "Use the embedder, the index, the storage, the ledger and the reranker once, and report "
        "each. Exit code 1 if one fails."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        parts: dict[str, Callable[[], str]] = {
            "embedder": _embedder,
            "index": _index,
            "storage": _storage,
            "ledger": _ledger,
            "reranker": _reranker,
        }
        broken = [name for name, check in parts.items() if not self._report(name, check)]
        if broken:
            raise CommandError(f"Not working: {', '.join(broken)}.")

    def _report(self, name: str, check: Callable[[], str]) -> bool:
        start = time.perf_counter()
        try:
            found, works = check(), True
        except Exception as error:  # whatever a part raises is the finding
            found, works = f"{type(error).__name__}: {error}", False
        seconds = time.perf_counter() - start
        status = self.style.SUCCESS("ok  ") if works else self.style.ERROR("FAIL")
        self.stdout.write(f"{status} {name:<9} {found} ({seconds:.2f} s)")
        return works


def _embedder() -> str:
    embedder = get_embedder()
    if hasattr(embedder, "warm_up"):
        embedder.warm_up()  # may download, which a search never does
    vectors = embedder.embed_queries([Content(text="a red mug")])
    if vectors.shape != (1, embedder.dimension):
        msg = f"embed_queries returned shape {vectors.shape}, not {(1, embedder.dimension)}"
        raise ValueError(msg)
    preset = get_settings().EMBEDDER.PRESET
    chosen = find_preset(preset).describe() if preset else type(embedder).__name__
    return f"{chosen}, {embedder.dimension} dimensions, {embedder.fingerprint}"


def _index() -> str:
    index = get_index()
    live = index.live()
    if live is None:
        return f"{index.describe()}; nothing is indexed yet"
    if live.fingerprint != get_embedder().fingerprint:
        msg = f"{index.describe()}: built by another model, run mmsearch_reindex"
        raise ValueError(msg)
    return f"{index.describe()}; {live.name} contains {index.count(generation=live.name)} images"


def _storage() -> str:
    return ", ".join(map(_read_one, registry)) or "no source is registered"


def _read_one(source: ImageSource) -> str:
    """Open files of the source until one is an image.

    Raises what the storage raises. A missing file is an error only if no other can be read.
    """
    readable, lost = False, None
    for row in source.fetch().order_by("pk")[:_ROWS]:
        try:
            if file := source.get_file(row):
                images.open_image(file, **get_settings().stored_caps)
                return f"read an image of {source.name}"
        except images.InvalidImage:
            readable = True
        except FileNotFoundError as error:
            lost = error
    if lost is not None and not readable:
        raise lost
    return f"found no image in the first {_ROWS} rows of {source.name}"


def _ledger() -> str:
    counted = ", ".join(f"{count} {state}" for state, count in ledger.counts().items() if count)
    return f"{counted or 'empty'}; {ledger.waiting().count()} waiting"


def _reranker() -> str:
    reranker = get_reranker()
    if reranker is None:
        return "none configured"
    if hasattr(reranker, "warm_up"):
        reranker.warm_up()
    else:
        candidates = [Content(text="a red mug"), Content(text="a blue mug")]
        reranker.rerank(Content(text="a red mug"), candidates)
    return f"{type(reranker).__name__}, {reranker.fingerprint}"
