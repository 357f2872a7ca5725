"""Files of weights as trainings and tools leave them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.embedders.bge_vl import BGEVL
from mmsearch_app.embedders.magiclens import MagicLens
from mmsearch_app.embedders.visualized_bge import VisualizedBGE
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.weights import InvalidWeights
from tests.embedders.kit import (
    CLIP,
    LENS,
    TINY_LENS,
    VISUALIZED,
    gap,
    tiny_architecture,
    write_tokenizer,
)
from tests.embedders.kit import visualized as load
from tests.pictures import PICTURE

torch = pytest.importorskip("torch")
State = dict[str, Any]
MIXED = [Content(text="red shoe"), Content(image=PICTURE), Content(image=PICTURE, text="in blue")]


def prefixed(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + key: value for key, value in state.items()}


def with_positions(state: State) -> State:
    extra = {"bge_embeddings.position_ids": torch.arange(512)[None]}
    return state | extra | {"text_model.embeddings.position_ids": torch.arange(77)[None]}


LEFT: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "module.": prefixed("module."),
    "model.": prefixed("model."),
    "_orig_mod.": prefixed("_orig_mod."),
    "both": prefixed("_orig_mod.module."),
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "lr": 1e-4},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer": {"lr": 1}},
    "wrapped twice": lambda state: {"state_dict": {"model": prefixed("module.")(state)}},
    "position ids": with_positions,
    "all of them": lambda state: {"state_dict": prefixed("module.")(with_positions(state))},
}


@pytest.mark.parametrize("leave", LEFT.values(), ids=LEFT)
def test_what_a_training_left_is_taken_off(tmp_path: Path, leave: Callable[[State], Any]) -> None:
    state = torch.load(VISUALIZED / "tiny-base" / "weights.pth", weights_only=True)
    torch.save(leave(dict(state)), tmp_path / "weights.pth")

    found = load("base", path=tmp_path / "weights.pth").embed_queries(MIXED)

    assert gap(found, load("base").embed_queries(MIXED)) == 0


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize("leave", [LEFT["bare"], LEFT["module."], LEFT["position ids"]])
def test_a_clip_of_any_tool_is_read(
    tmp_path: Path, name: str, leave: Callable[[State], Any]
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(CLIP, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").unlink()
    state = leave(load_file(CLIP / "model.safetensors"))
    state.pop("bge_embeddings.position_ids", None)
    if name.endswith("safetensors"):
        save_file(state, tmp_path / "copy" / name)
    else:
        torch.save({"state_dict": state}, tmp_path / "copy" / name)
    expected = BGEVL(path=CLIP).embed_queries(MIXED)

    assert gap(BGEVL(path=tmp_path / "copy").embed_queries(MIXED), expected) < 1e-6
    assert gap(BGEVL(path=tmp_path / "copy" / name).embed_queries(MIXED), expected) < 1e-6


def test_what_is_missing_and_unknown_is_listed(tmp_path: Path) -> None:
    state = dict(torch.load(VISUALIZED / "tiny-base" / "weights.pth", weights_only=True))
    state["head.bias"] = state.pop("visual_proj.bias")
    torch.save({"state_dict": prefixed("module.")(state)}, tmp_path / "weights.pth")

    with pytest.raises(InvalidWeights, match=r"visual_proj\.bias is missing; head\.bias is unk"):
        load("base", path=tmp_path / "weights.pth").warm_up()


def test_a_file_of_weights_finds_the_tokenizer_beside_it(tmp_path: Path) -> None:
    tiny = VISUALIZED / "tiny-base"
    shutil.copytree(tiny / "text_config", tmp_path, dirs_exist_ok=True)
    shutil.copy(tiny / "weights.pth", tmp_path / "mine.pth")
    embedder = VisualizedBGE(path=tmp_path / "mine.pth", architecture=tiny_architecture("base"))

    assert gap(embedder.embed_queries(MIXED), load("base").embed_queries(MIXED)) == 0


def test_a_magiclens_file_finds_the_tokenizer_beside_it(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    shutil.copy(LENS / "tiny" / "magic_lens.pkl", tmp_path / "mine.pkl")

    embedder = MagicLens(path=tmp_path / "mine.pkl", architecture=TINY_LENS)

    assert embedder.tokenizer.folder == tmp_path
    assert embedder.embed_queries(MIXED).shape == (3, 16)
