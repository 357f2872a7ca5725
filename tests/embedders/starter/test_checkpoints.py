"""Published weights are read as plain arrays, and a hostile file runs nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsearch_app.embedders.starter import weights
from mmsearch_app.embedders.starter.checkpoints import read_safetensors, read_torch
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.inference import InvalidWeights
from tests.embedders.starter.parts import needs_weights

BEGINNING = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]


class Hostile:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (Path.touch, (self.file,))


def hostile(file: Path, *, place: int = 3) -> bytes:
    """A file as torch once wrote them, whose pickle at `place` runs code in a careless reader."""
    parts = [*BEGINNING, {}, []]
    parts[place] = {"fc": Hostile(file)}
    return b"".join(pickle.dumps(part, protocol=2) for part in parts)


def saved(tensors: dict[str, Any]) -> bytes:
    torch = pytest.importorskip("torch", reason="writes the file that is read")
    buffer = io.BytesIO()
    torch.save(tensors, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def test_tensors_are_read_as_torch_wrote_them() -> None:
    torch = pytest.importorskip("torch", reason="writes the file that is read")
    whole = torch.arange(24.0).reshape(2, 3, 4)
    tensors = {"whole": whole, "turned": whole.permute(2, 0, 1), "part": whole[1, :, 2:]}
    tensors |= {"count": torch.tensor(3), "none": torch.zeros(0)}
    found = read_torch(saved(tensors))
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())
        assert found[name].dtype == tensor.numpy().dtype


@pytest.mark.parametrize("place", range(5))
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, place: int) -> None:
    file = tmp_path / "touched"
    content = hostile(file, place=place)
    with pytest.raises(InvalidWeights, match=r"it names \w+\.\w+, which is no tensor"):
        read_torch(content)
    assert not file.exists()
    for _ in range(place):
        stream = io.BytesIO(content)
        pickle.load(stream)  # noqa: S301


@pytest.mark.parametrize("name", ["builtins eval", "os system", "torch load", "collections deque"])
def test_only_tensors_and_ordered_dictionaries_may_be_named(name: str) -> None:
    module, _, called = name.partition(" ")
    parts = b"".join(pickle.dumps(part, protocol=2) for part in BEGINNING)
    with pytest.raises(InvalidWeights, match=f"{module}.{called}"):
        read_torch(parts + f"c{module}\n{called}\n.".encode())


def test_a_tensor_that_reaches_beyond_the_file_is_refused() -> None:
    torch = pytest.importorskip("torch", reason="writes the file that is read")
    content = saved({"weight": torch.ones(100)})
    with pytest.raises(InvalidWeights, match="torch file"):
        read_torch(content[:-4])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02.", bytes(100)])
def test_what_is_no_weights_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidWeights):
        read_torch(content)
    with pytest.raises(InvalidWeights):
        read_safetensors(content)


def test_a_safetensors_array_that_reaches_beyond_the_file_is_refused() -> None:
    header = b'{"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}'
    whole = struct.pack("<Q", len(header)) + header + bytes(16)
    assert read_safetensors(whole)["x"].shape == (4,)
    with pytest.raises(InvalidWeights, match="safetensors file"):
        read_safetensors(whole[:-1])


@needs_weights
def test_a_hostile_file_in_the_package_is_not_even_read(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "touched"
    other = tmp_path / "other.pth"
    other.write_bytes(hostile(file))
    monkeypatch.setattr(weights.PackagedFile, "locate", lambda _: other)
    with pytest.raises(weights.PartMissing, match="not the file that the starter embedder needs"):
        StarterEmbedder().warm_up()
    pinned = dataclasses.replace(
        weights.CLASSIFIER, sha256=hashlib.sha256(other.read_bytes()).hexdigest()
    )
    with pytest.raises(InvalidWeights):
        read_torch(pinned.map())
    assert not file.exists()
