"""Models load late, once and completely, and searches never download."""

import time
from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.embedders.bge_vl import BGEVL
from mmsearch_app.embedders.runtime import Network
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.weights import MissingWeights
from tests import fresh
from tests.embedders.kit import CLIP, LENS, make, run_threads


class CountingBGEVL(BGEVL):
    """Counts its loads, which are slow."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.loads: list[bool] = []

    def _load(self, *, download: bool) -> Network:
        self.loads.append(download)
        time.sleep(0.05)
        return super()._load(download=download)


def test_a_model_loads_once_for_concurrent_first_calls() -> None:
    embedder = CountingBGEVL(path=CLIP)
    found: list[Any] = []
    run_threads(lambda _: found.append(embedder.embed_queries([Content(text="a")])), range(8))
    assert len(embedder.loads) == 1
    assert len(found) == 8


def test_a_failed_load_raises_and_is_retried(tmp_path: Path) -> None:
    tiny = LENS / "tiny" / "magic_lens.pkl"
    embedder = make("magiclens", tmp_path, path=tmp_path / "weights.pkl")
    with pytest.raises(MissingWeights):
        embedder.embed_queries([Content(text="a")])
    (tmp_path / "weights.pkl").write_bytes(tiny.read_bytes())
    assert embedder.embed_queries([Content(text="a")]).shape == (1, 16)


def test_a_search_never_downloads_but_indexing_may() -> None:
    searching, indexing, forbidden = (
        CountingBGEVL(path=CLIP, local_files_only=only) for only in (False, False, True)
    )
    searching.embed_queries([Content(text="a")])
    indexing.embed_documents([Content(text="a")])
    forbidden.warm_up()
    assert [e.loads for e in (searching, indexing, forbidden)] == [[False], [True], [False]]


def test_warming_up_loads_the_model() -> None:
    embedder = CountingBGEVL(path=CLIP)
    embedder.warm_up()
    embedder.embed_queries([Content(text="a")])
    assert embedder.loads == [True]


def test_without_torch_the_error_says_what_to_install() -> None:
    code = (
        "from mmsearch_app.embedders.base import Content\n"
        "from mmsearch_app.embedders.bge_vl import BGEVL\n"
        "BGEVL().embed_queries([Content(text='a')])"
    )
    assert "pip install 'mmsearch[models]'" in fresh.error_without("torch", code)


def test_constructing_one_imports_no_torch() -> None:
    code = (
        "from mmsearch_app.embedders.bge_vl import BGEVL\n"
        "from mmsearch_app.embedders.magiclens import MagicLens\n"
        "from mmsearch_app.embedders.visualized_bge import VisualizedBGE\n"
        "made = BGEVL(), VisualizedBGE(model='m3'), MagicLens(path='x')\n"
        "assert [e.dimension for e in made] == [512, 1024, 512]\n"
        "assert '@98db10b10d22' in made[1].fingerprint"
    )
    assert not fresh.imports(code, "torch", "transformers", "huggingface_hub", "msgpack")
