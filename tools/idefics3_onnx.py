"""Write an Idefics3 of transformers for ONNX Runtime, in the layout of the published ones.

    python -m tools.idefics3_onnx CHECKPOINT DESTINATION [--half]

`CHECKPOINT` is a folder that `save_pretrained` wrote: configuration, safetensors, tokenizer and
processor. `DESTINATION` gets `onnx/vision_encoder.onnx`, `onnx/embed_tokens.onnx` and
`onnx/decoder_model_merged.onnx`, and a copy of all other files but the weights. `OnnxVLM` runs it,
and so does whatever runs such models.

With `--half` the weights are stored as float16, in files with the suffix `_fp16`. They are turned
into float32 when a session loads them, and inputs and outputs are float32 either way.

The networks are those of Laurençon et al., "Building and better understanding vision-language
models" (arXiv 2408.12637): a SigLIP, pixels shuffled into fewer tokens, and a Llama. Positions that
are stretched for long contexts are refused. Needs onnx and safetensors, not torch.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

OPSET: Final = 23  # the first with attention as one operation
IR_VERSION: Final = 11  # the format of that time: a newer onnx writes a newer one by default
MOST_BYTES: Final = 1 << 31  # of a file: protobuf holds no more
COPIED: Final = ("*.json", "*.jinja", "*.txt", "*.model")
END: Final = np.iinfo(np.int64).max

Weights: TypeAlias = Mapping[str, NDArray[Any]]
Shape: TypeAlias = list[int | str]


class Graph:
    """Collects operations and weights. Each operation is named by its output."""

    def __init__(self, weights: Weights, *, half: bool) -> None:
        self._weights = weights
        self._half = half
        self._nodes: list[Any] = []
        self._stored: dict[str, TensorProto] = {}
        self._ready: dict[str, str] = {}

    def has(self, name: str) -> bool:
        return name in self._weights

    def weight(self, name: str, *, turned: bool = False) -> str:
        """Use a weight of the checkpoint, `turned` if its two dimensions are to be swapped."""
        if name not in self._ready:
            if name not in self._weights:
                msg = f"The checkpoint lacks {name}."
                raise ValueError(msg)
            value = self._weights[name]
            stored = np.ascontiguousarray(value.T if turned else value)
            self._ready[name] = self._store(name, stored)
        return self._ready[name]

    def constant(self, value: Any) -> str:
        """Use an array, or whole numbers, which become int64."""
        array = np.asarray(value)
        name = f"constant_{len(self._stored)}"
        self._stored[name] = numpy_helper.from_array(array, name)
        return name

    def add(self, operation: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"{operation}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operation, inputs, [name], **attributes))
        return name

    def attend(
        self, inputs: Sequence[str], outputs: Sequence[str], *, heads: int, kept: int
    ) -> str:
        """Add attention on (n, tokens, width) with `heads` heads, and `kept` ones of the keys."""
        names = [f"Attention_{len(self._nodes)}", *outputs]
        node = helper.make_node("Attention", inputs, names, q_num_heads=heads, kv_num_heads=kept)
        self._nodes.append(node)
        return names[0]

    def linear(self, x: str, name: str) -> str:
        """Add a linear layer; weights are stored as (outputs, inputs)."""
        y = self.add("MatMul", x, self.weight(f"{name}.weight", turned=True))
        return self.add("Add", y, self.weight(f"{name}.bias")) if self.has(f"{name}.bias") else y

    def build(
        self, inputs: Mapping[str, tuple[int, Shape]], outputs: Mapping[str, Shape]
    ) -> ModelProto:
        graph = helper.make_graph(
            self._nodes,
            "network",
            [helper.make_tensor_value_info(name, *of) for name, of in inputs.items()],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in outputs.items()
            ],
            list(self._stored.values()),
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)

    def _store(self, name: str, value: NDArray[Any]) -> str:
        dtype = np.float16 if self._half else np.float32
        self._stored[name] = numpy_helper.from_array(value.astype(dtype), name)
        return self.add("Cast", name, to=TensorProto.FLOAT) if self._half else name


def build_vision_encoder(config: Mapping[str, Any], weights: Weights, *, half: bool) -> ModelProto:
    """Return the tower with its projection.

    Inputs: `pixel_values` (batch, images, 3, side, side) and `pixel_attention_mask` (batch, images,
    side, side), false where an image is padding. Output: `image_features` (images that are not
    all zeros, tokens, width of the language model).
    """
    vision, graph = config["vision_config"], Graph(weights, half=half)
    side, patch = vision["image_size"], vision["patch_size"]
    count, width = side // patch, vision["hidden_size"]
    pixels = graph.add("Reshape", "pixel_values", graph.constant([-1, 3, side, side]))
    mask = graph.add("Cast", "pixel_attention_mask", to=TensorProto.FLOAT)
    mask = graph.add("Reshape", mask, graph.constant([-1, 1, side, side]))
    real = graph.add("ReduceMax", graph.add("Abs", pixels), graph.constant([1, 2, 3]), keepdims=0)
    real = graph.add("Greater", real, graph.constant(np.float32(0)))
    pixels, mask = (graph.add("Compress", x, real, axis=0) for x in (pixels, mask))
    name = "model.vision_model."
    x = graph.add(
        "Conv",
        pixels,
        graph.weight(f"{name}embeddings.patch_embedding.weight"),
        graph.weight(f"{name}embeddings.patch_embedding.bias"),
        kernel_shape=[patch, patch],
        strides=[patch, patch],
    )
    x = graph.add("Reshape", x, graph.constant([0, width, count * count]))
    seen = graph.add("MaxPool", mask, kernel_shape=[patch, patch], strides=[patch, patch])
    seen = graph.add("Greater", seen, graph.constant(np.float32(0)))
    seen = graph.add("Reshape", seen, graph.constant([-1, count, count]))
    places = graph.weight(f"{name}embeddings.position_embedding.weight")
    places = graph.add("Gather", places, _place_patches(graph, seen, count))
    x = graph.add("Add", graph.add("Transpose", x, perm=[0, 2, 1]), places)
    flat = graph.add("Reshape", seen, graph.constant([-1, 1, 1, count * count]))
    allowed = graph.add("Expand", flat, graph.constant([1, 1, count * count, 1]))
    for index in range(vision["num_hidden_layers"]):
        x = _encode(graph, x, f"{name}encoder.layers.{index}.", vision, allowed)
    x = _normalise(graph, x, f"{name}post_layernorm", vision)
    x = _shuffle(graph, x, count, width, config["scale_factor"])
    graph.add(
        "MatMul",
        x,
        graph.weight("model.connector.modality_projection.proj.weight", turned=True),
        output="image_features",
    )
    inputs: dict[str, tuple[int, Shape]] = {
        "pixel_values": (TensorProto.FLOAT, ["batch_size", "num_images", 3, side, side]),
        "pixel_attention_mask": (TensorProto.BOOL, ["batch_size", "num_images", side, side]),
    }
    tokens = (count // config["scale_factor"]) ** 2
    return graph.build(inputs, {"image_features": ["n", tokens, _width(config)]})


def _place_patches(graph: Graph, seen: str, count: int) -> str:
    """Number the patches of (n, rows, columns) that are seen as if they filled the image.

    Computes in float32 as transformers does: fractions that fall beside a boundary must do so here.
    """
    step = 1 / count
    steps = np.arange(np.ceil((1.0 - step) / step))
    bounds = graph.constant((step + steps * step).astype(np.float32))
    order = graph.constant(np.arange(count, dtype=np.float32))
    numbers = graph.add("Cast", seen, to=TensorProto.INT64)
    buckets = []
    for axis in (2, 1):  # the first column says how many rows are seen, and the first row
        line = graph.add("Gather", numbers, graph.constant(0), axis=axis)
        many = graph.add("ReduceSum", line, graph.constant([1]), keepdims=1)
        share = graph.add("Cast", many, to=TensorProto.FLOAT)
        share = graph.add("Div", graph.constant(np.float32(1)), share)
        fractions = graph.add("Mul", order, share)
        fractions = graph.add("Min", fractions, graph.constant(np.float32(1.0 - 1e-6)))
        fractions = graph.add("Unsqueeze", fractions, graph.constant([2]))
        passed = graph.add("GreaterOrEqual", fractions, bounds)
        passed = graph.add("Cast", passed, to=TensorProto.INT64)
        buckets.append(graph.add("ReduceSum", passed, graph.constant([2]), keepdims=0))
    rows = graph.add("Mul", buckets[0], graph.constant(count))
    rows = graph.add("Unsqueeze", rows, graph.constant([2]))
    columns = graph.add("Unsqueeze", buckets[1], graph.constant([1]))
    places = graph.add("Where", seen, graph.add("Add", rows, columns), graph.constant(0))
    return graph.add("Reshape", places, graph.constant([-1, count * count]))


def _encode(graph: Graph, x: str, name: str, vision: Mapping[str, Any], allowed: str) -> str:
    """Add a layer of the tower."""
    heads = vision["num_attention_heads"]
    y = _normalise(graph, x, f"{name}layer_norm1", vision)
    parts = [graph.linear(y, f"{name}self_attn.{part}_proj") for part in ("q", "k", "v")]
    y = graph.attend([*parts, allowed], [], heads=heads, kept=heads)
    x = graph.add("Add", x, graph.linear(y, f"{name}self_attn.out_proj"))
    y = graph.linear(_normalise(graph, x, f"{name}layer_norm2", vision), f"{name}mlp.fc1")
    tanh = "tanh" if vision["hidden_act"] == "gelu_pytorch_tanh" else "none"
    y = graph.add("Gelu", y, approximate=tanh)
    return graph.add("Add", x, graph.linear(y, f"{name}mlp.fc2"))


def _normalise(graph: Graph, x: str, name: str, vision: Mapping[str, Any]) -> str:
    weight, bias = graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias")
    return graph.add("LayerNormalization", x, weight, bias, epsilon=vision["layer_norm_eps"])


def _shuffle(graph: Graph, x: str, count: int, width: int, scale: int) -> str:
    """Join squares of scale × scale patches: (n, count², width) to fewer and wider ones."""
    few = count // scale
    for shape in ([0, count, few, width * scale], [0, few, few, width * scale**2]):
        x = graph.add("Reshape", x, graph.constant(shape))
        x = graph.add("Transpose", x, perm=[0, 2, 1, 3])
    return graph.add("Reshape", x, graph.constant([0, few * few, width * scale**2]))


def build_embed_tokens(config: Mapping[str, Any], weights: Weights, *, half: bool) -> ModelProto:
    """Return the table of embeddings: `input_ids` (batch, tokens) to `inputs_embeds`."""
    graph = Graph(weights, half=False)
    table = weights["model.text_model.embed_tokens.weight"]
    found = graph.add(
        "Gather", graph.constant(table.astype(np.float16 if half else np.float32)), "input_ids"
    )  # only the rows that are read become float32
    graph.add("Cast", found, to=TensorProto.FLOAT, output="inputs_embeds")
    shape: Shape = ["batch_size", "sequence_length"]
    inputs = {"input_ids": (TensorProto.INT64, shape)}
    return graph.build(inputs, {"inputs_embeds": [*shape, _width(config)]})


def build_decoder(config: Mapping[str, Any], weights: Weights, *, half: bool) -> ModelProto:
    """Return the language model behind its embeddings, with a cache.

    Inputs: `inputs_embeds` (batch, tokens, width), `attention_mask` (batch, past and new tokens),
    `position_ids` (batch, tokens), `num_logits_to_keep`, how many of the last tokens get logits (0
    for all), and for each layer N `past_key_values.N.key` and `.value` (batch, heads, past tokens,
    width of a head). Outputs: `logits` and `present.N.key` and `.value`, the cache with the new
    tokens.
    """
    text, graph = config["text_config"], Graph(weights, half=half)
    kept, size = text["num_key_value_heads"], _head_width(text)
    past: Shape = ["batch_size", kept, "past_sequence_length", size]
    every: Shape = ["batch_size", kept, "total_sequence_length", size]
    inputs: dict[str, tuple[int, Shape]] = {
        "inputs_embeds": (TensorProto.FLOAT, ["batch_size", "sequence_length", _width(config)]),
        "attention_mask": (TensorProto.INT64, ["batch_size", "total_sequence_length"]),
        "position_ids": (TensorProto.INT64, ["batch_size", "sequence_length"]),
        "num_logits_to_keep": (TensorProto.INT64, []),
    }
    outputs: dict[str, Shape] = {"logits": ["batch_size", "num_logits", text["vocab_size"]]}
    allowed, turns = _allow(graph), _turn(graph, text)
    x = "inputs_embeds"
    for index in range(text["num_hidden_layers"]):
        x = _decode(graph, x, index, text, allowed, turns)
        for part in ("key", "value"):
            inputs[f"past_key_values.{index}.{part}"] = (TensorProto.FLOAT, past)
            outputs[f"present.{index}.{part}"] = every
    begin = graph.add("Unsqueeze", graph.add("Neg", "num_logits_to_keep"), graph.constant([0]))
    x = graph.add("Slice", x, begin, graph.constant([END]), graph.constant([1]))
    x = _normalise_root(graph, x, "model.text_model.norm", text)
    head = (
        "lm_head.weight" if graph.has("lm_head.weight") else "model.text_model.embed_tokens.weight"
    )
    graph.add("MatMul", x, graph.weight(head, turned=True), output="logits")
    return graph.build(inputs, outputs)


def _allow(graph: Graph) -> str:
    """Let every token attend to itself and to those before it that are not masked."""
    zero, one = graph.constant(0), graph.constant(1)
    total = graph.add("Gather", graph.add("Shape", "attention_mask"), one)
    new = graph.add("Gather", graph.add("Shape", "inputs_embeds"), one)
    keys = graph.add("Range", zero, total, one)
    queries = graph.add("Range", graph.add("Sub", total, new), total, one)
    queries = graph.add("Unsqueeze", queries, graph.constant([1]))
    before = graph.add("LessOrEqual", keys, queries)
    real = graph.add("Cast", "attention_mask", to=TensorProto.BOOL)
    real = graph.add("Unsqueeze", real, graph.constant([1, 2]))
    itself = graph.add("Equal", keys, queries)  # a masked token, too: nothing would give NaN
    return graph.add("Or", graph.add("And", before, real), itself)


def _turn(graph: Graph, text: Mapping[str, Any]) -> tuple[str, str]:
    """Return cosines and sines of the positions' angles (RoPE), each (batch, tokens, half a head).

    The frequencies are computed in float32 as transformers does.
    """
    size = _head_width(text)
    powers = np.arange(0, size, 2, dtype=np.int64).astype(np.float32) / np.float32(size)
    frequencies = (np.float32(1) / np.float32(_theta(text)) ** powers).astype(np.float32)
    places = graph.add("Cast", "position_ids", to=TensorProto.FLOAT)
    places = graph.add("Unsqueeze", places, graph.constant([2]))
    angles = graph.add("Mul", places, graph.constant(frequencies))
    return graph.add("Cos", angles), graph.add("Sin", angles)


def _decode(
    graph: Graph, x: str, index: int, text: Mapping[str, Any], allowed: str, turns: tuple[str, str]
) -> str:
    """Add a layer of the language model."""
    name = f"model.text_model.layers.{index}."
    heads, kept = text["num_attention_heads"], text["num_key_value_heads"]
    y = _normalise_root(graph, x, f"{name}input_layernorm", text)
    q, k, v = (graph.linear(y, f"{name}self_attn.{part}_proj") for part in ("q", "k", "v"))
    q = graph.add("RotaryEmbedding", q, *turns, num_heads=heads)
    k = graph.add("RotaryEmbedding", k, *turns, num_heads=kept)
    past = [f"past_key_values.{index}.{part}" for part in ("key", "value")]
    present = [f"present.{index}.{part}" for part in ("key", "value")]
    y = graph.attend([q, k, v, allowed, *past], present, heads=heads, kept=kept)
    x = graph.add("Add", x, graph.linear(y, f"{name}self_attn.o_proj"))
    y = _normalise_root(graph, x, f"{name}post_attention_layernorm", text)
    gate = graph.linear(y, f"{name}mlp.gate_proj")
    gate = graph.add("Mul", gate, graph.add("Sigmoid", gate))
    y = graph.add("Mul", gate, graph.linear(y, f"{name}mlp.up_proj"))
    return graph.add("Add", x, graph.linear(y, f"{name}mlp.down_proj"))


def _normalise_root(graph: Graph, x: str, name: str, text: Mapping[str, Any]) -> str:
    weight = graph.weight(f"{name}.weight")
    return graph.add("RMSNormalization", x, weight, epsilon=text["rms_norm_eps"], axis=-1)


def _width(config: Mapping[str, Any]) -> int:
    return int(config["text_config"]["hidden_size"])


def _head_width(text: Mapping[str, Any]) -> int:
    return int(text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"])


def _theta(text: Mapping[str, Any]) -> float:
    return float((text.get("rope_parameters") or text)["rope_theta"])


def read_idefics3(folder: Path) -> dict[str, Any]:
    """Read the configuration. Raises ValueError for what the graphs here do not compute."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text, vision = config.get("text_config", {}), config.get("vision_config", {})
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    found = {
        "model_type": config.get("model_type"),
        "text_config.model_type": text.get("model_type"),
        "text_config.hidden_act": text.get("hidden_act"),
        "rope_type": rope.get("rope_type", rope.get("type", "default")),
        "vision_config.hidden_act": vision.get("hidden_act"),
    }
    right = {
        "model_type": ("idefics3",),
        "text_config.model_type": ("llama",),
        "text_config.hidden_act": ("silu",),
        "rope_type": ("default",),
        "vision_config.hidden_act": ("gelu_pytorch_tanh", "gelu"),
    }
    for name, values in right.items():
        if found[name] not in values:
            msg = f"{folder}: {name} must be {' or '.join(values)}, not {found[name]!r}."
            raise ValueError(msg)
    return config


def read_weights(folder: Path) -> dict[str, NDArray[Any]]:
    """Read all tensors of the folder's safetensors; bfloat16 becomes float32."""
    from safetensors import safe_open

    weights: dict[str, NDArray[Any]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="np") as file:
            weights |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if not weights:
        msg = f"There are no safetensors in {folder}."
        raise FileNotFoundError(msg)
    return {
        name: value if value.dtype in (np.float16, np.float32) else value.astype(np.float32)
        for name, value in weights.items()
    }


def export(folder: Path, destination: Path, *, half: bool) -> None:
    """Write the three graphs and copy the other files. Raises ValueError or FileNotFoundError."""
    config, weights = read_idefics3(folder), read_weights(folder)
    (destination / "onnx").mkdir(parents=True, exist_ok=True)
    builders = {
        "vision_encoder": build_vision_encoder,
        "embed_tokens": build_embed_tokens,
        "decoder_model_merged": build_decoder,
    }
    for name, build in builders.items():
        graph = build(config, weights, half=half)
        if (size := graph.ByteSize()) >= MOST_BYTES:
            msg = f"{name} would have {size / 1e9:.1f} GB: a file of this layout has at most 2."
            raise ValueError(msg)
        suffix = "_fp16" if half else ""
        (destination / "onnx" / f"{name}{suffix}.onnx").write_bytes(graph.SerializeToString())
    for path in sorted(path for pattern in COPIED for path in folder.glob(pattern)):
        if not path.name.endswith(".safetensors.index.json"):
            shutil.copyfile(path, destination / path.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("destination", type=Path)
    parser.add_argument("--half", action="store_true", help="store the weights as float16")
    options = parser.parse_args()
    export(options.checkpoint, options.destination, half=options.half)


if __name__ == "__main__":
    main()
