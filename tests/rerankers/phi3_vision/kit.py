"""The small Phi-3 Vision of `tests/reference`, and its upstream code's results for ten prompts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from PIL import Image

from tests.embedders.kit import REFERENCE, describe, read

FOLDER = REFERENCE / "phi3_vision"
TINY = FOLDER / "tiny"
TOLERANCE = 1e-4
DESCRIPTION = describe(TINY)
CASES: dict[str, dict[str, Any]] = DESCRIPTION["cases"]
NUMBERS = read(TINY)


def picture(name: str) -> Image.Image:
    with Image.open(TINY / "images" / f"{name}.png") as image:
        image.load()
        return image


def processor(num_crops: int | None = None) -> Any:
    from mmsearch_app.rerankers.phi3_vision.processor import Phi3VisionProcessor

    return Phi3VisionProcessor.from_pretrained(TINY, num_crops=num_crops)


def load(**options: Any) -> Any:
    from mmsearch_app.rerankers.phi3_vision.model import Phi3Vision

    return Phi3Vision.from_pretrained(TINY, **({"dtype": "float32", "device": "cpu"} | options))


def inputs(*names: str) -> Any:
    """The processor's output for one case, or for several as a batch."""
    cases = [CASES[name] for name in names]
    shown = [[picture(name) for name in case["images"]] for case in cases]
    process = processor(max(case["num_crops"] or 1 for case in cases))
    with warnings.catch_warnings():
        if "two_swapped_tags" in names:
            warnings.simplefilter("ignore")
        if len(names) == 1:
            return process(cases[0]["prompt"], shown[0])
        return process([case["prompt"] for case in cases], shown)


def at_stored_positions(rows: Any, name: str, kind: str) -> tuple[Any, Any]:
    """The rows of a case at the positions that upstream's fixture has, and upstream's rows."""
    expected = NUMBERS[f"{name}/{kind}"]
    found = np.asarray(rows)
    if len(found) != len(expected):
        found = found[NUMBERS[f"{name}/logits_pos"]]
    return found, expected


def answer(model: Any, given: Any, **options: Any) -> list[list[int]]:
    """The new token ids of a greedy answer, per row."""
    settings = {"max_new_tokens": 12, "do_sample": False} | options
    ids = model.generate(**given, **settings)
    rows: list[list[int]] = ids[:, given["input_ids"].shape[1] :].tolist()
    return rows
