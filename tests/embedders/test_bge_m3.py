"""BGE-M3 by FlagEmbedding, with a small XLM-R: the text half of the tiny Visualized BGE m3."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch_app.embedders.base import Embedder
from mmsearch_app.embedders.bge_m3 import BGEM3
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.weights import MissingWeights
from tests import fresh
from tests.embedders.kit import VISUALIZED, visualized

pytest.importorskip("FlagEmbedding", reason="BGE-M3 is loaded by it: mmsearch[bge-m3]")

TINY = VISUALIZED / "tiny-m3"
TEXTS = [
    "a red shoe",
    "phone case with this image theme",
    "",
    "the dog and the dog, but blue " * 8,
    "a",
    "https://example.org/shoe.jpg",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text half of the tiny Visualized BGE m3 as BAAI/bge-m3, with random heads."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel

    path = Path(shutil.copytree(TINY / "text_config", tmp_path_factory.mktemp("m3") / "model"))
    state = torch.load(TINY / "weights.pth", weights_only=True)
    kept = {
        key.removeprefix("bge_"): value for key, value in state.items() if key.startswith("bge_")
    }
    model = XLMRobertaModel(XLMRobertaConfig.from_pretrained(path))
    assert not model.load_state_dict(kept, strict=False).unexpected_keys
    torch.save(model.state_dict(), path / "pytorch_model.bin")
    torch.manual_seed(5)
    for name, width in (("sparse_linear.pt", 1), ("colbert_linear.pt", 32)):
        torch.save(torch.nn.Linear(32, width).state_dict(), path / name)
    return path


@pytest.fixture(scope="module")
def embedder(folder: Path) -> BGEM3:
    return BGEM3(path=folder, batch_size=4)


@pytest.fixture(scope="module")
def upstream(folder: Path) -> Any:
    """FlagEmbedding, used as in its README."""
    from FlagEmbedding import BGEM3FlagModel

    return BGEM3FlagModel(str(folder), use_fp16=False, devices="cpu", return_sparse=True)


def contents(texts: list[str]) -> list[Content]:
    return [Content(text=text) for text in texts]


def test_is_an_embedder(embedder: BGEM3) -> None:
    assert isinstance(embedder, Embedder)
    assert embedder.dimension == 32


def test_vectors_are_those_of_flag_embedding(embedder: BGEM3, upstream: Any) -> None:
    expected = upstream.encode(TEXTS, batch_size=8)["dense_vecs"]
    found = embedder.embed_documents(contents(TEXTS))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_queries(contents(TEXTS)), expected, atol=1e-5)


def test_lexical_weights_are_those_of_flag_embedding(embedder: BGEM3, upstream: Any) -> None:
    expected = upstream.encode(TEXTS, batch_size=8)["lexical_weights"]
    found = embedder.lexical_weights(TEXTS)
    assert any(found)
    assert [set(row) for row in found] == [set(map(int, row)) for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        for token, weight in row.items():
            assert weight == pytest.approx(float(wanted[str(token)]), abs=1e-5)


def test_lexical_weights_leave_out_special_tokens(embedder: BGEM3) -> None:
    assert not {0, 1, 2, 3} & {token for row in embedder.lexical_weights(TEXTS) for token in row}


def test_vectors_are_those_of_visualized_m3_for_words(embedder: BGEM3) -> None:
    queries = contents([text for text in TEXTS if text])
    expected = visualized("m3").embed_queries(queries)
    np.testing.assert_allclose(embedder.embed_queries(queries), expected, atol=1e-5)


def test_a_batch_equals_single_calls(embedder: BGEM3) -> None:
    alone = np.concatenate([embedder.embed_queries([content]) for content in contents(TEXTS)])
    np.testing.assert_allclose(embedder.embed_queries(contents(TEXTS)), alone, atol=1e-5)
    together, single = embedder.lexical_weights(TEXTS), embedder.lexical_weights(TEXTS[:1])[0]
    assert together[0] == pytest.approx(single, abs=1e-5)


def test_no_contents_give_no_vectors(embedder: BGEM3) -> None:
    assert embedder.embed_documents([]).shape == (0, 32)
    assert embedder.lexical_weights([]) == []


def test_a_document_is_embedded_by_its_words(embedder: BGEM3) -> None:
    picture = Image.new("RGB", (8, 8))
    found = embedder.embed_documents(
        [Content(image=picture, text="a red shoe"), Content(image=picture)]
    )
    expected = embedder.embed_documents(contents(["a red shoe", ""]))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_image_query_without_words_is_refused(embedder: BGEM3) -> None:
    picture = Image.new("RGB", (8, 8))
    with pytest.raises(ValueError, match="knows words alone"):
        embedder.embed_queries([Content(image=picture, text=" ")])
    expected = embedder.embed_queries(contents(["blue"]))
    found = embedder.embed_queries([Content(image=picture, text="blue")])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_long_words_are_truncated(folder: Path, embedder: BGEM3) -> None:
    """Even if the option allows more tokens than the model has positions."""
    long = "the dog " * 5000
    assert np.isfinite(embedder.embed_queries(contents([long]))).all()
    short = BGEM3(path=folder, max_length=5)
    found = short.embed_queries(contents(["a red shoe and more", "a red shoe and less"]))
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert short.fingerprint != embedder.fingerprint


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_close_and_still_float32(
    folder: Path, embedder: BGEM3, dtype: Any
) -> None:
    half = BGEM3(path=folder, dtype=dtype)
    rough = half.embed_queries(contents(TEXTS))
    network: Any = half._network
    assert {str(weight.dtype) for weight in network._model.parameters()} == {f"torch.{dtype}"}
    assert rough.dtype == np.float32
    assert (rough * embedder.embed_queries(contents(TEXTS))).sum(1).min() > 0.99


def test_several_threads_get_the_same_vectors(folder: Path, embedder: BGEM3) -> None:
    fresh = BGEM3(path=folder)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(fresh.embed_queries, [contents(TEXTS)] * 6))
    for result in results:
        np.testing.assert_allclose(result, embedder.embed_queries(contents(TEXTS)), atol=1e-5)


@pytest.mark.parametrize("name", ["sparse_linear.pt", "colbert_linear.pt", "pytorch_model.bin"])
def test_missing_weights_are_not_replaced_by_random_ones(
    folder: Path, tmp_path: Path, name: str
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / name).unlink()
    with pytest.raises(MissingWeights, match=name):
        BGEM3(path=copy).warm_up()


def test_a_missing_model_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="absent"):
        BGEM3(path=tmp_path / "absent")


@pytest.mark.parametrize("max_length", [2, 8193])
def test_an_invalid_length_is_refused(max_length: int) -> None:
    with pytest.raises(ValueError, match="from 3 to 8192"):
        BGEM3(max_length=max_length)


def test_a_fingerprint_depends_on_the_content(
    folder: Path, tmp_path: Path, embedder: BGEM3
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert BGEM3(path=copy).fingerprint == embedder.fingerprint
    weights = bytearray((copy / "pytorch_model.bin").read_bytes())
    weights[-2000] ^= 1
    (copy / "pytorch_model.bin").write_bytes(weights)
    assert BGEM3(path=copy).fingerprint != embedder.fingerprint
    assert BGEM3().fingerprint == "BAAI/bge-m3@5617a9f61b02/bge-m3-1/512/1024"


def test_constructing_imports_and_opens_nothing() -> None:
    code = "from mmsearch_app.embedders.bge_m3 import BGEM3; assert BGEM3().fingerprint"
    assert not fresh.imports(code, "torch", "transformers", "FlagEmbedding")


def test_without_its_library_it_says_what_to_install(folder: Path) -> None:
    code = f"from mmsearch_app.embedders.bge_m3 import BGEM3\nBGEM3(path={str(folder)!r}).warm_up()"
    assert "'mmsearch[bge-m3]'" in fresh.error_without("FlagEmbedding", code)
