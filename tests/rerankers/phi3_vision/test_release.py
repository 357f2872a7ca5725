"""Reading released files of Phi-3 Vision, and refusing others."""

import json
import shutil
from math import prod
from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.inference.weights import InvalidWeights, MissingWeights
from tests.rerankers.phi3_vision.kit import CASES, FOLDER, NUMBERS, TINY, answer, inputs, load

torch = pytest.importorskip("torch")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the small model."""
    return Path(shutil.copytree(TINY, tmp_path / "copy"))


def edit(path: Path, **changes: Any) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | changes), encoding="utf-8")


def resave(folder: Path, change: Any) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def split(folder: Path) -> None:
    """Put the weights into two files with an index, as the release has them."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    keys = sorted(tensors)
    places: dict[str, str] = {}
    for number, part in ((1, keys[::2]), (2, keys[1::2])):
        name = f"model-0000{number}-of-00002.safetensors"
        save_file({key: tensors[key] for key in part}, folder / name, metadata={"format": "pt"})
        places |= dict.fromkeys(part, name)
    index = json.dumps({"metadata": {}, "weight_map": places})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    (folder / "model.safetensors").unlink()


def test_every_released_key_has_its_place() -> None:
    from mmsearch_app.rerankers.phi3_vision.checkpoint import CLIP_LARGE_336, Phi3Architecture
    from mmsearch_app.rerankers.phi3_vision.model import build_phi3_vision, released_phi3_layout

    released = json.loads((FOLDER / "state_dict_layout.json").read_text(encoding="utf-8"))
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 32.0}
    factors = {"short_factor": [1.0] * 48, "long_factor": [2.0] * 48}
    sizes = {"max_position_embeddings": 131072, "original_max_position_embeddings": 4096}
    language = sizes | {"rope_parameters": rope | factors}
    network = build_phi3_vision(Phi3Architecture(language=language, vision=CLIP_LARGE_336))
    layout = released_phi3_layout(network)
    assert layout == {key: tuple(shape) for key, (shape, _) in released["layout"].items()}
    assert len(layout) == released["n_keys"] == 592
    assert sum(map(prod, layout.values())) == released["params"] == 4_146_621_440
    assert all(parameter.is_meta for parameter in network.parameters())


def test_the_tower_of_the_release_is_the_default(folder: Path) -> None:
    from mmsearch_app.rerankers.phi3_vision.checkpoint import CLIP_LARGE_336, read_architecture

    edit(folder / "config.json", img_processor={"name": "clip_vision_model"})
    assert read_architecture(folder).vision == CLIP_LARGE_336


def test_weights_in_several_files_are_read(folder: Path) -> None:
    split(folder)
    model = type(load()).from_pretrained(folder, dtype="float32", device="cpu")
    assert answer(model, inputs("text")) == [CASES["text"]["greedy12"]]


def test_a_missing_file_of_several_is_named(folder: Path) -> None:
    split(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(MissingWeights, match=r"contains no model-00002-of-00002\.safetensors"):
        type(load()).from_pretrained(folder)


@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 0.3), ("float16", 0.05)])
def test_other_precisions_differ_by_rounding(dtype: str, bound: float) -> None:
    model = load(dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, dtype)}
    found = model.next_logits(**inputs("img_640x480"))
    expected = torch.from_numpy(NUMBERS["img_640x480/greedy12_logits"][:1])
    assert found.dtype == torch.float32
    assert 0 < float((found - expected).abs().max()) < bound


def test_the_attention_can_be_chosen() -> None:
    model = load(attention="eager")
    assert answer(model, inputs("two")) == [CASES["two"]["greedy12"]]


CHANGES = {
    "model.norm.weight is missing": lambda tensors: tensors.pop("model.norm.weight"),
    "extra is unknown": lambda tensors: tensors.update(extra=torch.zeros(1)),
    r"lm_head.weight has shape \[2, 2\]": lambda t: t.update({"lm_head.weight": torch.ones(2, 2)}),
    r"layers\.2\.mlp\.fc1\.bias is missing": lambda tensors: tensors.pop(
        "model.vision_embed_tokens.img_processor.vision_model.encoder.layers.2.mlp.fc1.bias"
    ),
}


@pytest.mark.parametrize("problem", CHANGES)
def test_other_weights_are_refused(folder: Path, problem: str) -> None:
    resave(folder, CHANGES[problem])
    with pytest.raises(InvalidWeights, match=problem):
        type(load()).from_pretrained(folder)


def test_a_damaged_file_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(InvalidWeights, match="is not a safetensors file"):
        type(load()).from_pretrained(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "phi3"},
        {"rope_scaling": None},
        {"embd_layer": {"hd_transform_order": "glb_sub"}},
    ],
)
def test_another_model_is_refused(folder: Path, change: dict[str, Any]) -> None:
    edit(folder / "config.json", **change)
    with pytest.raises(InvalidWeights, match="does not describe a Phi-3 Vision"):
        type(load()).from_pretrained(folder)


def test_the_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    edit(folder / "tokenizer.json", added_tokens=[])
    with pytest.raises(InvalidWeights, match=r"another model: it lacks <\|end\|>"):
        type(load()).from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_folder_without_a_needed_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(MissingWeights, match=name.replace(".", r"\.")):
        type(load()).from_pretrained(folder)
