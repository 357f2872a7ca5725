"""The exporter: which files it writes, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tools.idefics3_onnx import build_vision_encoder, read_idefics3, read_weights


def test_the_command_writes_a_folder_that_runs(
    source: Callable[[str], Path], tmp_path: Path
) -> None:
    from mmsearch_app.rerankers.onnx import OnnxVLM

    command = [sys.executable, "-m", "tools.idefics3_onnx", str(source("plain")), str(tmp_path)]
    subprocess.run([*command, "--half"], check=True)

    OnnxVLM(path=tmp_path, variant="fp16", threads=1).warm_up()
    assert not list(tmp_path.glob("*.safetensors"))


def test_weights_are_stored_in_half_the_bytes(exported: Callable[..., Path]) -> None:
    sizes = [
        sum(path.stat().st_size for path in (exported("plain", half=half) / "onnx").iterdir())
        for half in (False, True)
    ]

    assert sizes[1] < 0.75 * sizes[0]  # the graphs themselves take a part


def test_padding_of_images_changes_nothing_but_what_transformers_changes(
    source: Callable[[str], Path],
) -> None:
    """Half an image, a tall and a wide one, and one that is padding altogether."""
    import torch
    from onnxruntime import InferenceSession
    from transformers import AutoModelForImageTextToText

    folder = source("tiled")
    pixels = np.random.default_rng(1).normal(size=(1, 4, 3, 40, 40)).astype(np.float32)
    mask = np.ones((1, 4, 40, 40), np.bool_)
    mask[0, 0, 20:], mask[0, 1, :, 13:], mask[0, 3] = False, False, False
    pixels[0, 3] = 0
    network = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        seen = network.get_image_features(torch.from_numpy(pixels), torch.from_numpy(mask))
    expected = torch.cat(list(seen.pooler_output)).numpy()

    graph = build_vision_encoder(read_idefics3(folder), read_weights(folder), half=False)
    given = {"pixel_values": pixels, "pixel_attention_mask": mask}
    (found,) = InferenceSession(graph.SerializeToString()).run(None, given)

    assert found.shape == (3, 4, 32)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llava"}, "model_type must be idefics3, not 'llava'"),
        ({"text_config": {"model_type": "gemma"}}, "text_config.model_type must be llama"),
        (
            {
                "text_config": {
                    "model_type": "llama",
                    "hidden_act": "silu",
                    "rope_parameters": {"rope_type": "llama3"},
                }
            },
            "rope_type must be default, not 'llama3'",
        ),
    ],
)
def test_a_network_that_the_graphs_do_not_compute_is_refused(
    source: Callable[[str], Path], tmp_path: Path, change: dict[str, object], message: str
) -> None:
    config = json.loads((source("plain") / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | change), encoding="utf-8")

    with pytest.raises(ValueError, match=message):
        read_idefics3(tmp_path)


def test_a_checkpoint_that_lacks_a_tensor_is_refused(source: Callable[[str], Path]) -> None:
    folder = source("plain")
    weights = read_weights(folder)
    del weights["model.vision_model.post_layernorm.weight"]

    with pytest.raises(ValueError, match=r"lacks model\.vision_model\.post_layernorm\.weight"):
        build_vision_encoder(read_idefics3(folder), weights, half=False)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no safetensors"):
        read_weights(tmp_path)


def test_bfloat16_becomes_float32(source: Callable[[str], Path], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(source("plain"), tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    rounded = {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
    save_file(rounded, folder / "model.safetensors")

    found = read_weights(folder)

    for name, tensor in rounded.items():
        np.testing.assert_array_equal(found[name], tensor.float().numpy())
