"""One embedder with its real weights for all tests, and a shop of drawn products."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from example_shop.catalogue import Item, items
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.inference.content import Content
from tests.embedders.starter.parts import KINDS, Rows, Shop, picture


@pytest.fixture(scope="session")
def first_answers() -> tuple[StarterEmbedder, list[Rows]]:
    """One embedder, and the vectors that four threads got from its concurrent first calls."""
    embedder = StarterEmbedder()
    gate = threading.Barrier(4)

    def ask() -> Rows:
        gate.wait()
        return embedder.embed_queries([Content(text="a red mug")])

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(ask) for _ in range(4)]
    return embedder, [future.result() for future in futures]


@pytest.fixture(scope="session")
def embedder(first_answers: tuple[StarterEmbedder, list[Rows]]) -> StarterEmbedder:
    return first_answers[0]


@pytest.fixture(scope="session")
def goods() -> list[Item]:
    return [item for item in items() if item.kind in KINDS]


@pytest.fixture(scope="session")
def titled(embedder: StarterEmbedder, goods: list[Item]) -> Shop:
    contents = [Content(image=picture(item), text=item.title) for item in goods]
    return goods, embedder.embed_documents(contents)


@pytest.fixture(scope="session")
def untitled(embedder: StarterEmbedder, goods: list[Item]) -> Shop:
    return goods, embedder.embed_documents([Content(image=picture(item)) for item in goods])
