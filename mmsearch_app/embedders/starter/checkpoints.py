"""Read published weights without the libraries that wrote them, and without running their code.

Two formats: safetensors (a JSON header, then the arrays), and what `torch.save` wrote before
PyTorch 1.6 (several pickles, then the arrays). The arrays returned are read-only views of the
content, so that a file that is mapped into memory is not copied.
"""

from __future__ import annotations

import io
import json
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.inference import InvalidWeights

Array: TypeAlias = NDArray[np.float32] | NDArray[np.int64]
FileContent: TypeAlias = bytes | memoryview

_DTYPES: Final[Mapping[str, np.dtype[Any]]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
_MAGIC: Final = 0x1950A86A20F9469CFC6C
_COUNT: Final = 8
"""Bytes before each storage: the number of its elements."""


class _Storage(NamedTuple):
    """The flat memory that tensors are views of; it follows the pickles."""

    key: str
    dtype: np.dtype[Any]


class _Tensor(NamedTuple):
    """Arguments of torch's `_rebuild_tensor_v2`, in its order; offset and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: object


_KNOWN: Final[Mapping[tuple[str, str], Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch", "FloatStorage"): _DTYPES["F32"],
    ("torch", "LongStorage"): _DTYPES["I64"],
}


class _TensorUnpickler(pickle.Unpickler):
    """Knows tensors and ordered dictionaries; refuses everything else that a pickle can name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            msg = f"it names {module}.{name}, which is no tensor"
            raise pickle.UnpicklingError(msg)
        return _KNOWN[module, name]

    def persistent_load(self, reference: Any) -> _Storage:
        _, dtype, key, *_ = reference
        return _Storage(str(key), dtype)


def read_safetensors(content: FileContent) -> dict[str, Array]:
    """Return the arrays by name. Raises InvalidWeights if the content is not safetensors."""
    try:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(bytes(content[8 : 8 + size]))
        header.pop("__metadata__", None)
        return {name: _array(content, 8 + size, **of) for name, of in header.items()}
    except Exception as error:  # whatever is wrong with the header
        raise _invalid("safetensors", error) from error


def _array(
    content: FileContent, start: int, *, dtype: str, shape: list[int], data_offsets: list[int]
) -> Array:
    return np.ndarray(shape, _DTYPES[dtype], content, start + data_offsets[0])


def read_torch(content: FileContent) -> dict[str, Array]:
    """Return the tensors of a dictionary saved by `torch.save` before PyTorch 1.6, by name.

    Raises InvalidWeights for anything else. Nothing that the content names is imported or called.
    """
    try:
        file = io.BytesIO(content)
        magic, _version, _system, tensors, keys = (_TensorUnpickler(file).load() for _ in range(5))
        if magic != _MAGIC:
            raise ValueError("it has another beginning")
        starts = _storage_starts(content, file.tell(), keys, tensors)
        return {name: _view(content, starts, tensor) for name, tensor in tensors.items()}
    except Exception as error:  # a pickle can fail in every way
        raise _invalid("torch", error) from error


def _storage_starts(
    content: FileContent, start: int, keys: list[str], tensors: Mapping[str, _Tensor]
) -> dict[str, int]:
    """Return where the elements of each storage begin. `start` is where the pickles end."""
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    starts = {}
    for key in keys:
        count = int.from_bytes(content[start : start + _COUNT], "little")
        starts[key] = start + _COUNT
        start = starts[key] + count * dtypes[key].itemsize
    return starts


def _view(content: FileContent, starts: Mapping[str, int], tensor: _Tensor) -> Array:
    """Return the tensor. Raises ValueError if it reaches beyond the content."""
    dtype = tensor.storage.dtype
    strides = [stride * dtype.itemsize for stride in tensor.strides]
    start = starts[tensor.storage.key] + tensor.offset * dtype.itemsize
    return np.ndarray(tensor.shape, dtype, content, start, strides)


def _invalid(what: str, error: Exception) -> InvalidWeights:
    return InvalidWeights(f"This is not a {what} file of plain arrays: {error}")
