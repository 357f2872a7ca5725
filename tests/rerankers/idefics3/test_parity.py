"""What ONNX Runtime computes from an export is what transformers computes from the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.replies.schemas import grades_form, ranking_form
from mmsearch_app.rerankers.vlm import Form, Prompt
from tests.rerankers.idefics3.exports import noise
from tests.rerankers.kit import QUERIES, products

RED = Image.new("RGB", (70, 50), "red")
PROMPTS = {
    "words": Prompt(parts=("a large red bag without laces",)),
    "image": Prompt(parts=(RED, "like this one")),
    "several": Prompt(parts=("QUERY:", RED, "A:", noise(120, 40), "B:", noise(33, 190), "Which?")),
    "system": Prompt(parts=(noise(64, 64), "and more"), system="Judge the bag."),
    "long": Prompt(parts=(noise(90, 90), "a red dress " * 200)),
}
EXPORTS = [
    ("plain", "", False),
    ("plain", "positions counted", False),
    ("plain", "all logits", False),
    ("plain", "cache branch", False),
    ("tiled", "", False),
    ("tiled", "", True),
    ("tiled", "all logits", True),
    ("tiled", "open sizes", False),
]
"""Checkpoint, way of the export, and whether it stores float16."""
each_export = pytest.mark.parametrize("pair", EXPORTS, indirect=True, ids=str)
both_checkpoints = pytest.mark.parametrize("pair", [EXPORTS[2], EXPORTS[5]], indirect=True, ids=str)


@pytest.fixture
def pair(request: Any, build: Callable[..., Any], reference: Callable[[str], Any]) -> Any:
    """The same model on ONNX Runtime and in transformers, both loaded."""
    name, way, half = request.param
    models = build(name, way=way, half=half), reference(name)
    for model in models:
        model.warm_up()
    return models


@each_export
@pytest.mark.parametrize("name", PROMPTS)
def test_token_ids_are_equal(pair: Any, name: str) -> None:
    ours, theirs = (model._model for model in pair)

    ids, _ = ours.prepare(PROMPTS[name])

    assert ids == theirs.prepare([PROMPTS[name]])["input_ids"][0].tolist()


@each_export
@pytest.mark.parametrize("name", PROMPTS)
def test_logits_are_equal(pair: Any, name: str) -> None:
    import torch

    ours, theirs = (model._model for model in pair)
    with torch.inference_mode():
        expected = theirs.network(**theirs.prepare([PROMPTS[name]])).logits[0, -1].numpy()

    found = ours._read(PROMPTS[name], None).logits

    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)
    assert expected.std() > 0.3  # far more than the tolerance


@each_export
@pytest.mark.parametrize("name", PROMPTS)
def test_replies_are_equal(pair: Any, name: str) -> None:
    ours, theirs = (model.generate([PROMPTS[name]], max_tokens=50) for model in pair)

    assert ours == theirs


@both_checkpoints
@pytest.mark.parametrize("form", [grades_form(3), ranking_form(4)], ids=lambda form: form.name)
def test_constrained_replies_are_equal(pair: Any, form: Form) -> None:
    ours, theirs = (
        model.generate([PROMPTS["several"]], max_tokens=400, form=form) for model in pair
    )

    assert ours == theirs


@both_checkpoints
@pytest.mark.parametrize("mode", ["letters", "pairs", "grades", "listwise"])
def test_candidates_come_in_the_same_order(pair: Any, mode: str) -> None:
    ours, theirs = (
        VisionReranker(model=model, mode=mode).rerank(QUERIES["both"], products(5))
        for model in pair
    )

    assert ours.order == theirs.order
    assert ours.repairs == theirs.repairs == 0
    assert (ours.caption, ours.reason) == (theirs.caption, theirs.reason)
    if ours.grades is not None:
        assert ours.grades == pytest.approx(theirs.grades, abs=1e-3)


def test_inputs_and_a_cache_of_float16_change_little(
    build: Callable[..., Any], reference: Callable[[str], Any]
) -> None:
    asked = list(PROMPTS.values())
    expected = np.array(reference("tiled").score(asked, ["yes", "no", "A", "B"]))

    found = np.array(build("tiled", way="half states").score(asked, ["yes", "no", "A", "B"]))

    assert np.abs(found - expected).max() < 0.05
    assert np.abs(found - expected).max() > 1e-5  # the cache is not float32
