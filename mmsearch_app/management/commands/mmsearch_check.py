"""Use once all that indexing and searching use: parts, storage, and every SQL statement."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.management.base import BaseCommand, CommandError
from django.test import RequestFactory
from django.urls import NoReverseMatch, resolve, reverse
from PIL import Image

from mmsearch_app import images
from mmsearch_app.backends import get_embedder, get_index, get_reranker
from mmsearch_app.conf import get_settings
from mmsearch_app.embedders import check_vectors, find_preset
from mmsearch_app.indexes import Generation, Record
from mmsearch_app.indexing import find_live, ledger, try_document, try_statements
from mmsearch_app.inference import Content
from mmsearch_app.management.commands._progress import failing_on_logged_errors
from mmsearch_app.searching import search, searchable, try_filters
from mmsearch_app.sources import ImageSource, explain_empty, load_rows, registry

_ROWS = 50
"""How many rows of a source are searched for an image."""
_PATIENCE = 10.0
_WORDS = "a red mug"


class Command(BaseCommand):
    """Loads weights and opens connections, which nothing does at start-up."""

    help = (
        "Use once, and report, all that indexing and searching use: the embedder, the index, the "
        "storage, the reranker, and for each source every SQL statement, in a transaction that is "
        "rolled back. Exit code 1 if anything fails, or no source is registered."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        parts: dict[str, Callable[[], str]] = {
            "sources": _sources,
            "embedder": _embedder,
            "index": _index,
            "storage": _storage,
            "ledger": _ledger,
        }
        for source in registry:
            parts[f"indexing {source.name}"] = partial(_indexing, source)
            parts[f"search {source.name}"] = partial(_search, source)
        parts |= {"page": _search_page, "reranker": _reranker}
        broken = [name for name, check in parts.items() if not self._report(name, check)]
        if broken:
            raise CommandError(f"Not working: {', '.join(broken)}.")

    def _report(self, name: str, check: Callable[[], str]) -> bool:
        start = time.perf_counter()
        try:
            with failing_on_logged_errors():
                found, works = check(), True
        except Exception as error:  # whatever a part raises is the finding
            found, works = f"{type(error).__name__}: {error}", False
        seconds = time.perf_counter() - start
        status = self.style.SUCCESS("ok  ") if works else self.style.ERROR("FAIL")
        self.stdout.write(f"{status} {name:<9} {found} ({seconds:.2f} s)")
        return works


def _sources() -> str:
    if not len(registry):
        raise LookupError(explain_empty())
    return ", ".join(source.name for source in registry)


def _embedder() -> str:
    embedder = get_embedder()
    if hasattr(embedder, "warm_up"):
        embedder.warm_up()  # may download, which a search never does
    picture = _square("red")
    queries = [Content(text=_WORDS), Content(image=picture), Content(image=picture, text=_WORDS)]
    check_vectors(embedder.embed_queries(queries), len(queries), embedder=embedder)
    documents = [Content(image=picture, text=_WORDS), Content(image=picture)]
    check_vectors(embedder.embed_documents(documents), len(documents), embedder=embedder)
    preset = get_settings().EMBEDDER.PRESET
    chosen = find_preset(preset).describe() if preset else type(embedder).__name__
    return f"{chosen}, {embedder.dimension} dimensions, {embedder.fingerprint}"


def _square(colour: str) -> Image.Image:
    return Image.new("RGB", (32, 32), colour)


def _index() -> str:
    """Write, find and delete a record in a generation of its own; describe the live one."""
    index = get_index()
    live = find_live()
    with _scratch() as generation:
        vector = np.zeros(generation.dimension, np.float32)
        vector[0] = 1
        record = Record(id="mmsearch_check:1", product="mmsearch_check", source="", vector=vector)
        index.upsert([record], generation=generation.name)
        _wait_for(record, generation)
        if record.id not in index.stored([record.id], generation=generation.name):
            msg = f"{index.describe()}: the vector of a record that was written is missing"
            raise LookupError(msg)
        index.delete([record.id], generation=generation.name)
        if list(index.contents(generation=generation.name)):
            msg = f"{index.describe()}: a record that was deleted is still there"
            raise LookupError(msg)
    if live is None:
        return f"{index.describe()}; nothing is indexed yet"
    if live.fingerprint != get_embedder().fingerprint:
        msg = f"{index.describe()}: built by another model, run mmsearch_reindex"
        raise ValueError(msg)
    return f"{index.describe()}; {live.name} contains {index.count(generation=live.name)} images"


@contextmanager
def _scratch() -> Iterator[Generation]:
    """Yield an empty generation that no search uses, and drop it at the end."""
    index, embedder = get_index(), get_embedder()
    fingerprint = f"{embedder.fingerprint} mmsearch_check"
    for left in index.generations():
        if left.fingerprint == fingerprint:  # of a check that was killed
            index.drop(left.name)
    made = index.create(fingerprint=fingerprint, dimension=embedder.dimension)
    try:
        yield made
    finally:
        index.drop(made.name)


def _wait_for(record: Record, generation: Generation) -> None:
    """Search until the record is found: a server shows a write after a moment.

    Raises LookupError after ten seconds.
    """
    end = time.monotonic() + _PATIENCE
    while not get_index().search(record.vector, generation=generation.name, limit=1):
        if time.monotonic() > end:
            msg = f"{get_index().describe()}: a record that was written is not found"
            raise LookupError(msg)
        time.sleep(0.1)


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


def _indexing(source: ImageSource) -> str:
    try_statements(source)
    return "marked, claimed, finished, reconciled; all rolled back"


def _search(source: ImageSource) -> str:
    """Index one row in a generation of its own, and find it there by each of its filters."""
    document = try_document(source)
    if document is None:
        return f"found no image in the first {_ROWS} rows of {source.name}"
    embedder = get_embedder()
    vectors = embedder.embed_documents([document.content])
    check_vectors(vectors, 1, embedder=embedder)
    [key] = source.valid_keys([document.entry.object_pk])
    [row] = load_rows(source, source.fetch().filter(pk=key))
    record = document.record(vectors[0])
    with _scratch() as generation:
        get_index().upsert([record], generation=generation.name)
        _wait_for(record, generation)
        tried = try_filters(source, row, vectors[0], generation=generation)
    found = f"found {row} by {', '.join(['its image', *tried])}"
    lacking = ", ".join(name for name in source.filters if name not in tried)
    return f"{found}; no value of {lacking} to try" if lacking else found


def _search_page() -> str:
    """Ask the live index, and have the search page gather its filters; nothing is rendered."""
    if get_index().live() is None:
        return "nothing is indexed yet"
    searchable()
    found = search(_WORDS, limit=1, rerank=False, user=AnonymousUser())
    said = f"{len(found.hits)} hits for {_WORDS!r}"
    try:
        address = reverse("mmsearch:search") if hasattr(settings, "ROOT_URLCONF") else ""
    except NoReverseMatch:
        address = ""
    if not address:
        return f"{said}; mmsearch_app.urls is not included"
    request = RequestFactory().get(address, {"text": _WORDS})
    request.user = AnonymousUser()
    match = resolve(address)
    response = match.func(request, *match.args, **match.kwargs)
    if response.status_code >= 500:
        msg = f"{address} answers {response.status_code}"
        raise RuntimeError(msg)
    return f"{said}; {address} answers {response.status_code}"


def _reranker() -> str:
    reranker = get_reranker()
    if reranker is None:
        return "none configured"
    if hasattr(reranker, "warm_up"):
        reranker.warm_up()
    colours = ("blue", "red")
    candidates = [Content(image=_square(c), text=f"a {c} mug") for c in colours]
    ranking = reranker.rerank(Content(image=_square("green"), text=_WORDS), candidates)
    if ranking.says_nothing:
        msg = "nothing of its reply about two pictures could be used"
        raise ValueError(msg)
    return f"{type(reranker).__name__}, {reranker.fingerprint}"
