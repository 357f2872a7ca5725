"""Reading the released file, a pickle of flax's msgpack, without executing anything in it."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.inference import InvalidWeights, needing

if TYPE_CHECKING:
    import torch

BROKEN = (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError)
"""What pickle and msgpack raise for damaged or hostile files."""

NDARRAY = 1
"""Flax's msgpack extension type for (shape, dtype, bytes)."""

ATTENTION = {"query": "query", "key": "key", "value": "value", "post": "out"}
CLIP_NAMES = (
    (r"^logit_scale$", "logit_scale"),
    (r"^text/token_embedding/embedding$", "text_model.embeddings.token_embedding.weight"),
    (r"^text/positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^visual/positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"^visual/class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"^visual/conv1/", "vision_model.embeddings.patch_embedding/"),
    (r"^visual/ln_pre/", "vision_model.pre_layrnorm/"),
    (r"^visual/ln_post/", "vision_model.post_layernorm/"),
    (r"^visual/proj/", "visual_projection/"),
    (r"^text/text_projection/", "text_projection/"),
    (r"^text/ln_final/", "text_model.final_layer_norm/"),
    (r"^text/transformer/resblocks_(\d+)/", r"text_model.encoder.layers.\1/"),
    (r"^visual/transformer/resblocks_(\d+)/", r"vision_model.encoder.layers.\1/"),
    (r"/attn/query/", "/self_attn/q_proj/"),
    (r"/attn/key/", "/self_attn/k_proj/"),
    (r"/attn/value/", "/self_attn/v_proj/"),
    (r"/attn/out/", "/self_attn/out_proj/"),
    (r"/ln_([12])/", r"/layer_norm\1/"),
    (r"/mlp/c_fc/", "/mlp/fc1/"),
    (r"/mlp/c_proj/", "/mlp/fc2/"),
    (r"/(kernel|scale)$", "/weight"),
)
FUSION_NAMES = (
    (r"^multimodal_encoder/x_layers_(\d+)/", r"layers/\1/"),
    (r"^contrastive_multimodal_pooler/", "pooler/"),
    (r"pooling_attn_query$", "query"),
    (r"/pool_attn/per_dim_scale/per_dim_scale$", "/scale"),
    (r"/pool_attn_ln/", "/norm/"),
    (r"/pool_attn/", "/attention/"),
    (r"/self_attention/", "/attention/"),
    (r"/post/", "/out/"),
    (r"/ff_layer/layer_norm/", "/norm2/"),
    (r"^(layers/\d+)/layer_norm/", r"\1/norm1/"),
    (r"/ff_layer/ffn_layer1/(linear|bias)/", "/widen/"),
    (r"/ff_layer/ffn_layer2/(linear|bias)/", "/narrow/"),
    (r"/(w|scale)$(?<!pooler/scale)", "/weight"),
    (r"/b$", "/bias"),
)


def read_parameters(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return arrays by key, such as "params/clip/visual/conv1/kernel".

    Raises InvalidWeights unless the file is a pickled `bytes` of msgpack with arrays of floats.
    """
    with needing("models"):
        import msgpack
    try:
        with path.open("rb") as file:
            packed = BytesUnpickler(file).load()
        tree = msgpack.unpackb(packed, ext_hook=_read_extension, strict_map_key=True)
    except BROKEN as error:
        msg = f"{path} is no released MagicLens: {error}"
        raise InvalidWeights(msg) from error
    parameters = dict(_flatten(tree))
    if not all(isinstance(array, np.ndarray) for array in parameters.values()):
        msg = f"{path} is no released MagicLens: it contains more than arrays."
        raise InvalidWeights(msg)
    return parameters


class BytesUnpickler(pickle.Unpickler):
    """Refuses a pickle that names any class or function."""

    def find_class(self, module: str, name: str, /) -> NoReturn:
        msg = f"it asks for {module}.{name}, and weights need no code"
        raise pickle.UnpicklingError(msg)


def _read_extension(code: int, data: bytes) -> NDArray[np.float32]:
    import msgpack

    if code != NDARRAY:
        msg = f"extension type {code} in the file; only arrays belong there"
        raise InvalidWeights(msg)
    shape, dtype, buffer = msgpack.unpackb(data, ext_hook=_refuse, strict_map_key=True)
    if dtype not in {"float32", "float16"}:
        msg = f"an array of {dtype!r} in the file; only float32 and float16 belong there"
        raise InvalidWeights(msg)
    array: NDArray[np.float32] = np.frombuffer(buffer, dtype=dtype).reshape(shape)
    return array.astype(np.float32)


def _refuse(code: int, data: bytes) -> NoReturn:
    msg = f"extension type {code} inside an array"
    raise InvalidWeights(msg)


def _flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(tree, Mapping):
        yield prefix, tree
        return
    for name, branch in tree.items():
        yield from _flatten(branch, f"{prefix}/{name}" if prefix else name)


def name_parameter(key: str) -> str:
    """Return the name in `MagicLensNetwork` of a key of the file, such as "clip.logit_scale"."""
    name = key.removeprefix("params/")
    inside = name.removeprefix("clip/")
    prefix, rules = ("fusion", FUSION_NAMES) if name == inside else ("clip", CLIP_NAMES)
    for pattern, replacement in rules:
        inside = re.sub(pattern, replacement, inside)
    return f"{prefix}.{inside}".replace("/", ".")


def reorient(key: str, array: torch.Tensor) -> torch.Tensor:
    """Return an array in torch's layout: outputs first, heads joined, "1 +" added to norms' scales.

    Works on the meta device too, to get shapes only.
    """
    last = key.rsplit("/", 1)[-1]
    if last == "scale" and "/clip/" not in key:
        return array + 1
    if last in {"b", "bias"}:
        return array.flatten()
    if last not in {"kernel", "w"}:
        return array
    if array.ndim == 4:
        return array.permute(3, 2, 0, 1)
    if "/post/" in key:
        return array.flatten(1)
    return array.flatten(0, 1).T if "/out/" in key else array.flatten(1).T
