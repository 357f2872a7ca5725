"""Tiny models with random weights, exported, and the ways in which published exports differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from tests.embedders.checkpoints import MARKS, TOWER, train_tokenizer, write_idefics3
from tools.idefics3_onnx import export

DECODER = "decoder_model_merged"
SMOL = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% elif part['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def noise(width: int, height: int) -> Image.Image:
    """An image of that size in which no two pixels are alike, always the same one."""
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def write_plain(folder: Path) -> Path:
    """As many heads of keys as of queries, an output layer of its own, no tiles."""
    return write_idefics3(folder, side=64, limit=8192)


def write_tiled(folder: Path) -> Path:
    """Grouped queries, output tied to the embeddings, tiles, and files as transformers 4 wrote."""
    import torch
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        Idefics3Processor,
    )

    torch.manual_seed(5)
    spots = [f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)]
    tokenizer = train_tokenizer(
        "<|im_start|>", "<end_of_utterance>", limit=8192, more=(*MARKS[:3], *spots)
    )
    tokenizer.backend_tokenizer.post_processor = None
    text = TOWER | {
        "model_type": "llama",
        "vocab_size": len(tokenizer),
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 3,
        "max_position_embeddings": 8192,
        "rope_theta": 100000.0,
        "rms_norm_eps": 1e-5,
        "pad_token_id": 1,
        "eos_token_id": 1,
        "tie_word_embeddings": True,
    }
    more: dict[str, Any] = {"pad_token_id": 1}  # which only its base class declares
    config = Idefics3Config(
        text_config=text,
        vision_config=TOWER | {"image_size": 40, "patch_size": 5, "intermediate_size": 48},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=4,
        tie_word_embeddings=True,
        **more,
    )
    Idefics3ForConditionalGeneration(config).half().save_pretrained(folder)
    pictures = Idefics3ImageProcessorPil(
        size={"longest_edge": 120}, max_image_size={"longest_edge": 40}
    )
    Idefics3Processor(
        image_processor=pictures, tokenizer=tokenizer, image_seq_len=4, chat_template=SMOL
    ).save_pretrained(folder)
    _write_as_before(folder)
    return folder


def _write_as_before(folder: Path) -> None:
    """The files of the processor as transformers 4 wrote them, and the hub has them."""
    processor = folder / "processor_config.json"
    config = json.loads(processor.read_text(encoding="utf-8"))
    pictures = folder / "preprocessor_config.json"
    pictures.write_text(json.dumps(config.pop("image_processor")), encoding="utf-8")
    processor.write_text(json.dumps(config), encoding="utf-8")
    template = folder / "chat_template.jinja"
    content = json.dumps({"chat_template": template.read_text(encoding="utf-8")})
    (folder / "chat_template.json").write_text(content, encoding="utf-8")
    template.unlink()


WRITERS: Mapping[str, Callable[[Path], Path]] = {"plain": write_plain, "tiled": write_tiled}


def write_export(checkpoint: Path, folder: Path, *, way: str = "", half: bool = False) -> Path:
    """Export a checkpoint; `way` is a key of `WAYS`."""
    export(checkpoint, folder, half=half)
    if way:
        (path,) = (folder / "onnx").glob(f"{DECODER}*.onnx")
        model = onnx.load(path)
        WAYS[way](model.graph)
        path.write_bytes(model.SerializeToString())
    return folder


def _without_positions(graph: onnx.GraphProto) -> None:
    """Positions are counted from the attention mask, as older exports do."""
    _take_input(graph, "position_ids")
    graph.initializer.extend(
        helper.make_tensor(name, TensorProto.INT64, shape, values)
        for name, shape, values in (
            ("axis", [], [1]),
            ("first", [1], [1]),
            ("last", [1], [1 << 60]),
        )
    )
    nodes = [
        helper.make_node("CumSum", ["attention_mask", "axis"], ["counted"]),
        helper.make_node("Sub", ["counted", "axis"], ["places"]),
        helper.make_node("Shape", ["inputs_embeds"], ["new"], start=1, end=2),
        helper.make_node("Neg", ["new"], ["begin"]),
        helper.make_node("Slice", ["places", "begin", "last", "first"], ["position_ids"]),
    ]
    _put_first(graph, nodes)


def _with_all_logits(graph: onnx.GraphProto) -> None:
    """Every token of the prompt gets logits, as in the exports of SmolVLM."""
    _take_input(graph, "num_logits_to_keep")
    zero = helper.make_tensor("num_logits_to_keep", TensorProto.INT64, [], [0])
    graph.initializer.append(zero)


def _with_half_states(graph: onnx.GraphProto) -> None:
    """Inputs, cache and logits are float16, as in the exports with the suffix fp16."""
    before, after = [], []
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
            _rename(graph, value.name, f"{value.name}_wide", inputs=True)
            before.append(
                helper.make_node("Cast", [value.name], [f"{value.name}_wide"], to=TensorProto.FLOAT)
            )
    for value in graph.output:
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
        _rename(graph, value.name, f"{value.name}_wide", inputs=False)
        after.append(
            helper.make_node("Cast", [f"{value.name}_wide"], [value.name], to=TensorProto.FLOAT16)
        )
    _put_first(graph, before)
    graph.node.extend(after)


def _with_branch(graph: onnx.GraphProto) -> None:
    """`use_cache_branch` must say whether there is a cache: else the logits are not numbers."""
    graph.input.append(helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1]))
    _rename(graph, "logits", "right_logits", inputs=False)
    graph.initializer.extend(
        [
            helper.make_tensor("none", TensorProto.INT64, [1], [0]),
            helper.make_tensor("wrong", TensorProto.FLOAT, [], [float("nan")]),
        ]
    )
    past = next(value.name for value in graph.input if value.name.startswith("past"))
    graph.node.extend(
        [
            helper.make_node("Shape", [past], ["length"], start=2, end=3),
            helper.make_node("Greater", ["length", "none"], ["cached"]),
            helper.make_node("Equal", ["cached", "use_cache_branch"], ["told"]),
            helper.make_node("Where", ["told", "right_logits", "wrong"], ["logits"]),
        ]
    )


def _with_open_sizes(graph: onnx.GraphProto) -> None:
    """The shapes of the cache have names instead of numbers."""
    for value in graph.input:
        if value.name.startswith("past"):
            for place, name in ((1, "heads"), (3, "width")):
                value.type.tensor_type.shape.dim[place].dim_param = name


WAYS: Mapping[str, Callable[[onnx.GraphProto], None]] = {
    "positions counted": _without_positions,
    "all logits": _with_all_logits,
    "half states": _with_half_states,
    "cache branch": _with_branch,
    "open sizes": _with_open_sizes,
}


def _take_input(graph: onnx.GraphProto, name: str) -> None:
    place = [value.name for value in graph.input].index(name)
    del graph.input[place]


def _rename(graph: onnx.GraphProto, name: str, new: str, *, inputs: bool) -> None:
    for node in graph.node:
        names = node.input if inputs else node.output
        for place, found in enumerate(names):
            if found == name:
                names[place] = new


def _put_first(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    every = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(every)
