"""Helpers for tests of rebuilds."""

from __future__ import annotations

from mmsearch_app import backends
from mmsearch_app.backends import get_index
from mmsearch_app.indexing.rebuild import Rebuilder
from mmsearch_app.searching.search import search
from tests.shop import EmbedderWithMoods


def live() -> str:
    found = get_index().live()
    assert found is not None
    return found.name


def names() -> list[str]:
    return [generation.name for generation in get_index().generations()]


def titles() -> set[str]:
    return {hit.title for hit in search("mug", limit=100).hits}


def change_model(fingerprint: str = "testing-2") -> None:
    """As a deployment does: the index stays, the embedder is another one."""

    backends._built["EMBEDDER"] = EmbedderWithMoods(fingerprint=fingerprint)


def finish(work: Rebuilder) -> None:
    while not work.step():
        pass
