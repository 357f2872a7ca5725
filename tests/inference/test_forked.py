"""A forked child does not wait for locks that threads of its parent held."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from mmsearch_app.embedders.batching import Batcher
from mmsearch_app.embedders.bge_vl import BGEVL
from mmsearch_app.embedders.open_clip import Towers
from mmsearch_app.embedders.sentence_transformers.encoder import Encoder
from mmsearch_app.embedders.starter import StarterEmbedder
from mmsearch_app.inference.endpoint import Endpoint
from mmsearch_app.inference.words import WordTokenizer
from mmsearch_app.testing import TestingEmbedder
from tests.forking import works_in_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]
UNUSED: Any = None
MODEL = SimpleNamespace(supports=lambda _: True, tokenizer=None, config=None)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(BGEVL, id="torch embedder"),
        pytest.param(StarterEmbedder, id="starter"),
        pytest.param(lambda: Towers(UNUSED, UNUSED, UNUSED, dimension=1, weight=1), id="open clip"),
        pytest.param(
            lambda: Encoder(MODEL, prompts={}, image_weight=1), id="sentence transformers"
        ),
        pytest.param(lambda: WordTokenizer(None, pad=0), id="tokenizer"),
        pytest.param(lambda: Batcher(TestingEmbedder(), most=1, seconds=1), id="batcher"),
        pytest.param(lambda: Endpoint("http://127.0.0.1:1/"), id="endpoint"),
    ],
)
def test_a_lock_that_a_thread_of_the_parent_holds_is_free(build: Callable[[], Any]) -> None:
    part = build()
    with part._lock:
        assert works_in_child(lambda: part._lock.acquire(timeout=60))


def test_an_endpoint_shares_no_connection_with_its_parent() -> None:
    pytest.importorskip("httpx", reason="a model server is reached with it: mmsearch[server]")
    endpoint = Endpoint("http://127.0.0.1:1/")
    client = endpoint._open()
    assert works_in_child(lambda: endpoint._open() is not client)
    assert endpoint._open() is client
