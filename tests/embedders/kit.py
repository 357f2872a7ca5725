"""The small models of `tests/reference` as embedders."""

from __future__ import annotations

import json
import string
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mmsearch_app.embedders.bge_vl import BGEVL
from mmsearch_app.embedders.magiclens.architecture import (
    MagicLensArchitecture as MagicLensArchitecture,
)
from mmsearch_app.embedders.magiclens.embedder import MagicLens
from mmsearch_app.embedders.runtime import TorchEmbedder
from mmsearch_app.embedders.visualized_bge.architecture import BGEArchitecture
from mmsearch_app.embedders.visualized_bge.embedder import VisualizedBGE

for library in ("torch", "transformers"):
    pytest.importorskip(library, reason=f"the models need {library}: install mmsearch[models]")

REFERENCE = Path(__file__).resolve().parent.parent / "reference"
VISUALIZED = REFERENCE / "visualized_bge"
CLIP = REFERENCE / "bge_vl" / "tiny"
LENS = REFERENCE / "magiclens"
PICTURES = ("rgb_landscape", "rgb_portrait", "rgb_small", "palette", "grey", "rgba")
FAMILIES = ("visualized-base", "visualized-m3", "bge-vl", "magiclens")
TOLERANCE = 1e-5

TINY_LENS = MagicLensArchitecture(
    dimension=16,
    text_width=32,
    text_heads=2,
    text_layers=2,
    vision_width=128,
    vision_heads=2,
    vision_layers=2,
    patch=16,
    fusion_heads=2,
    fusion_layers=2,
    image_size=32,
    vocabulary=64,
)


def read(folder: Path) -> Mapping[str, NDArray[Any]]:
    with np.load(folder / "ref.npz") as arrays:
        return dict(arrays)


def describe(folder: Path) -> dict[str, Any]:
    description: dict[str, Any] = json.loads((folder / "ref.json").read_text(encoding="utf-8"))
    return description


def picture(name: str, *, family: str = "visualized_bge") -> Image.Image:
    folder = VISUALIZED if family == "visualized_bge" else CLIP
    with Image.open(folder / "images" / f"{name}.png") as image:
        image.load()
        return image


def tiny_architecture(model: str) -> BGEArchitecture:
    config = VISUALIZED / f"tiny-{model}" / "text_config" / "config.json"
    return BGEArchitecture(
        text=json.loads(config.read_text(encoding="utf-8")),
        width=32,
        layers=2,
        patch=8,
        image_size=32,
        head_width=8,
        clip_dimension={"base": 512, "m3": 768}[model],
    )


def visualized(model: str, **options: Any) -> VisualizedBGE:
    folder = VISUALIZED / f"tiny-{model}"
    paths = {"path": folder / "weights.pth", "tokenizer": folder / "text_config"}
    architecture = tiny_architecture(model)
    return VisualizedBGE(model=model, architecture=architecture, **(paths | options))


def magic_lens(folder: Path, **options: Any) -> MagicLens:
    """The tiny MagicLens, with a tokenizer of letters for its 64 ids, written to `folder`."""
    write_tokenizer(folder)
    paths = {"path": LENS / "tiny" / "magic_lens.pkl", "tokenizer": folder}
    return MagicLens(**(paths | {"architecture": TINY_LENS} | options))


def make(family: str, folder: Path, **options: Any) -> TorchEmbedder:
    if family == "bge-vl":
        return BGEVL(**({"path": CLIP} | options))
    if family == "magiclens":
        return magic_lens(folder, **options)
    return visualized(family.removeprefix("visualized-"), **options)


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = ["!", *string.ascii_letters, *string.digits][:62]
    vocabulary = {token: i for i, token in enumerate([*letters, "<start>", "<end>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 62), ("<end>", 63)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<start>",
        eos_token="<end>",
        pad_token="<end>",
        unk_token="<end>",
    )
    fast.save_pretrained(folder)


def gap(found: Any, expected: NDArray[Any]) -> float:
    """The largest absolute difference; fails if the shapes differ."""
    found = np.asarray(found)
    assert found.shape == expected.shape
    return float(np.abs(found.astype(np.float64) - expected.astype(np.float64)).max())


def run_threads(call: Callable[[int], Any], places: Iterable[int]) -> None:
    """Call with each place in a thread of its own, and wait for all."""
    threads = [threading.Thread(target=call, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
