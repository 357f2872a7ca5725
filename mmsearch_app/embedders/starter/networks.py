"""The two networks, as graphs for ONNX Runtime built from their published weights. Imports onnx.

EfficientNet-Lite0: Tan and Le, "EfficientNet" (ICML 2019), without squeeze-and-excitation and with
ReLU6, like the Lite variants of TensorFlow's `tpu/models/official/efficientnet/lite`.

MiniLM-L6: Devlin et al., "BERT" (NAACL 2019); Wang et al., "MiniLM" (NeurIPS 2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mmsearch_app.inference import InvalidWeights

Weights: TypeAlias = Mapping[str, NDArray[Any]]

OPSET: Final = 23  # the first with attention as one operation
IR_VERSION: Final = 11  # the format of that time: a newer onnx writes a newer one by default

SIDE: Final = 224
# repeats, kernel, stride, output channels
STAGES: Final = (
    (1, 3, 1, 16),
    (2, 3, 2, 24),
    (2, 5, 2, 40),
    (3, 3, 2, 80),
    (3, 5, 1, 112),
    (4, 5, 2, 192),
    (1, 3, 1, 320),
)
TEXTURE: Final = 10  # the block whose features tell patterns apart best, on any object
BATCH_NORM_EPSILON: Final = 1e-3

WIDTH: Final = 384
LAYERS, HEADS = 6, 12
MOST_TOKENS: Final = 256  # as the sentence encoder was trained
LAYER_NORM_EPSILON: Final = 1e-12


class BuiltGraph(NamedTuple):
    """A graph, and the weights that it names but does not contain."""

    graph: bytes
    weights: Mapping[str, NDArray[np.float32]]


class _Graph:
    """Collects operations and weights. Each operation is named by its output."""

    def __init__(self, weights: Weights) -> None:
        self._published = weights
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._weights: dict[str, NDArray[np.float32]] = {}

    def published(self, name: str) -> NDArray[Any]:
        """Return a published weight. Raises InvalidWeights if there is none of that name."""
        if name not in self._published:
            msg = f"The weights lack {name}."
            raise InvalidWeights(msg)
        return self._published[name]

    def weight(self, name: str, value: NDArray[Any] | None = None) -> str:
        """Use a published weight as it is, or another value under its name."""
        found = self.published(name) if value is None else value
        self._weights[name] = np.ascontiguousarray(found, np.float32)
        return name

    def constant(self, value: Sequence[int] | float) -> str:
        name = f"constant_{len(self._constants)}"
        kind = TensorProto.FLOAT if isinstance(value, float) else TensorProto.INT64
        values = np.atleast_1d(value)
        shape = np.shape(value)
        self._constants.append(helper.make_tensor(name, kind, shape, values))
        return name

    def add(self, operation: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"{operation}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operation, inputs, [name], **attributes))
        return name

    def build(
        self, inputs: Mapping[str, tuple[int, list[Any]]], outputs: Sequence[str]
    ) -> BuiltGraph:
        """Return the network; `inputs` maps names to types and shapes."""
        graph = helper.make_graph(
            self._nodes,
            "network",
            [helper.make_tensor_value_info(name, *of) for name, of in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [*self._constants, *(_outside(*item) for item in self._weights.items())],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return BuiltGraph(model.SerializeToString(), self._weights)


def _outside(name: str, value: NDArray[np.float32]) -> TensorProto:
    """Declare a weight whose values are given to the session, not to the graph."""
    tensor = TensorProto(name=name, dims=value.shape, data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="given")
    return tensor


def build_classifier(weights: Weights) -> BuiltGraph:
    """Return EfficientNet-Lite0 with each normalisation folded into the convolution before it.

    Input: `pixels`, bytes (n, 224, 224, 3). Outputs: `logits` (n, 1000), `shapes` (n, 320), the
    means of the last block, and `textures` (n, 112, 14, 14). The two blocks are linear
    bottlenecks: signed, with a small common mean.
    """
    graph = _Graph(weights)
    x = graph.add("Cast", "pixels", to=TensorProto.FLOAT)
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.add("Div", graph.add("Sub", x, graph.constant(127.0)), graph.constant(128.0))
    x = _relu6(graph, _convolve(graph, x, "_conv_stem", "_bn0", kernel=3, stride=2))
    inputs = 32
    for index, (kernel, stride, outputs) in enumerate(_blocks()):
        skips = stride == 1 and inputs == outputs
        x = _block(graph, x, f"_blocks.{index}.", kernel=kernel, stride=stride, skips=skips)
        if index == TEXTURE:
            graph.add("Identity", x, output="textures")
        inputs = outputs
    graph.add("Flatten", graph.add("GlobalAveragePool", x), output="shapes")
    x = _relu6(graph, _convolve(graph, x, "_conv_head", "_bn1"))
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    _linear(graph, x, "_fc", output="logits")
    pixels = (TensorProto.UINT8, ["n", SIDE, SIDE, 3])
    return graph.build({"pixels": pixels}, ["logits", "shapes", "textures"])


def _blocks() -> Iterator[tuple[int, int, int]]:
    """Yield kernel, stride and output channels of each block."""
    for repeats, kernel, stride, outputs in STAGES:
        yield kernel, stride, outputs
        yield from [(kernel, 1, outputs)] * (repeats - 1)


def _block(graph: _Graph, x: str, name: str, *, kernel: int, stride: int, skips: bool) -> str:
    """Add an inverted residual block (Sandler et al., CVPR 2018)."""
    y = x
    if not name.endswith(".0."):  # the first block does not expand
        y = _relu6(graph, _convolve(graph, y, f"{name}_expand_conv", f"{name}_bn0"))
    y = _convolve(graph, y, f"{name}_depthwise_conv", f"{name}_bn1", kernel=kernel, stride=stride)
    y = _convolve(graph, _relu6(graph, y), f"{name}_project_conv", f"{name}_bn2")
    return graph.add("Add", x, y) if skips else y


def _relu6(graph: _Graph, x: str) -> str:
    return graph.add("Clip", x, graph.constant(0.0), graph.constant(6.0))


def _convolve(
    graph: _Graph, x: str, convolution: str, norm: str, *, kernel: int = 1, stride: int = 1
) -> str:
    """Add a convolution with its normalisation, padded like TensorFlow's SAME.

    If the padding is odd, the odd pixel goes right and below.
    """
    weight = graph.published(f"{convolution}.weight")
    spread = np.sqrt(graph.published(f"{norm}.running_var") + BATCH_NORM_EPSILON)
    scale = graph.published(f"{norm}.weight") / spread
    bias = graph.published(f"{norm}.bias") - graph.published(f"{norm}.running_mean") * scale
    before, odd = divmod(kernel - stride, 2)
    return graph.add(
        "Conv",
        x,
        graph.weight(f"{convolution}.weight", weight * scale[:, None, None, None]),
        graph.weight(f"{norm}.bias", bias),
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=[before, before, before + odd, before + odd],
        group=len(weight) if weight.shape[1] == 1 else 1,
    )


def _linear(graph: _Graph, x: str, name: str, *, output: str = "") -> str:
    """Add a linear layer on (rows, inputs). Weights are stored as (outputs, inputs)."""
    weight, bias = graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias")
    return graph.add("Gemm", x, weight, bias, output=output, transB=1)


def build_sentence_encoder(weights: Weights) -> BuiltGraph:
    """Return MiniLM up to the mean of its last states.

    Inputs: `words` (n, tokens, 384), the embeddings of the tokens, and `mask` (n, tokens), true
    where these are real. Output: `meanings` (n, 384), rows of length 1. The table of embeddings,
    half of the weights, stays out of the graph: the few rows that a text needs are read from it.
    """
    graph = _Graph(weights)
    rows = graph.add("Shape", "words")
    tokens = graph.add("Shape", "words", start=1, end=2)
    flat = graph.constant([-1, WIDTH])
    x = graph.add("Reshape", graph.add("Add", "words", _places(graph, tokens)), flat)
    x = _layer_norm(graph, x, "embeddings.LayerNorm")
    allowed = _allow(graph, tokens)
    for index in range(LAYERS):
        name = f"encoder.layer.{index}."
        y = graph.add("Reshape", _attend(graph, x, f"{name}attention.self.", rows, allowed), flat)
        y = graph.add("Add", x, _linear(graph, y, f"{name}attention.output.dense"))
        x = _layer_norm(graph, y, f"{name}attention.output.LayerNorm")
        y = graph.add("Gelu", _linear(graph, x, f"{name}intermediate.dense"))
        y = graph.add("Add", x, _linear(graph, y, f"{name}output.dense"))
        x = _layer_norm(graph, y, f"{name}output.LayerNorm")
    _average(graph, graph.add("Reshape", x, rows), output="meanings")
    inputs: dict[str, tuple[int, list[Any]]] = {
        "words": (TensorProto.FLOAT, ["n", "tokens", WIDTH]),
        "mask": (TensorProto.BOOL, ["n", "tokens"]),
    }
    return graph.build(inputs, ["meanings"])


def _places(graph: _Graph, tokens: str) -> str:
    """Add the embeddings of the places of tokens, and of their type, which is always the first."""
    places = graph.published("embeddings.position_embeddings.weight")[:MOST_TOKENS]
    places = places + graph.published("embeddings.token_type_embeddings.weight")[0]
    table = graph.weight("embeddings.position_embeddings.weight", places)
    return graph.add("Slice", table, graph.constant([0]), tokens)


def _allow(graph: _Graph, tokens: str) -> str:
    """Let every token attend to the real ones; (n, 1, tokens, tokens)."""
    one = graph.constant([1])
    square = graph.add("Concat", one, one, tokens, one, axis=0)
    return graph.add("Expand", graph.add("Unsqueeze", "mask", graph.constant([1, 2])), square)


def _layer_norm(graph: _Graph, x: str, name: str) -> str:
    weight, bias = graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias")
    return graph.add("LayerNormalization", x, weight, bias, epsilon=LAYER_NORM_EPSILON)


def _attend(graph: _Graph, x: str, name: str, rows: str, allowed: str) -> str:
    """Add self-attention on (n · tokens, 384); returns (n, tokens, 384)."""
    parts = [
        graph.add("Reshape", _linear(graph, x, f"{name}{part}"), rows)
        for part in ("query", "key", "value")
    ]
    return graph.add("Attention", *parts, allowed, q_num_heads=HEADS, kv_num_heads=HEADS)


def _average(graph: _Graph, states: str, *, output: str) -> None:
    """Add the mean over real tokens, at length 1: so their sum will do."""
    mask = graph.add("Cast", "mask", to=TensorProto.FLOAT)
    mask = graph.add("Unsqueeze", mask, graph.constant([1]))
    total = graph.add("Squeeze", graph.add("MatMul", mask, states), graph.constant([1]))
    graph.add("LpNormalization", total, output=output)
