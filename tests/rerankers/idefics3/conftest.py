"""Tiny models of transformers and their exports, written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

for library in ("onnx", "onnxruntime", "tokenizers", "jinja2"):
    pytest.importorskip(
        library, reason="exported models need mmsearch[onnx], and onnx to write them"
    )


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a checkpoint of transformers, "plain" or "tiled"."""
    from tests.rerankers.idefics3.exports import WRITERS

    folders: dict[str, Path] = {}

    def find(name: str) -> Path:
        if name not in folders:
            folders[name] = WRITERS[name](tmp_path_factory.mktemp("idefics3") / name)
        return folders[name]

    return find


@pytest.fixture(scope="session")
def exported(
    source: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """The folder of an export; see `exports.write_export`."""
    from tests.rerankers.idefics3.exports import write_export

    folders: dict[str, Path] = {}

    def find(name: str, **options: Any) -> Path:
        key = f"{name} {options}"
        if key not in folders:
            folder = tmp_path_factory.mktemp("onnx") / name
            folders[key] = write_export(source(name), folder, **options)
        return folders[key]

    return find


@pytest.fixture(scope="session")
def build(exported: Callable[..., Path]) -> Callable[..., Any]:
    """An `OnnxVLM`; options are its own, and `way` and `half` those of the export."""
    from mmsearch_app.rerankers.onnx import OnnxVLM

    models: dict[str, Any] = {}

    def find(name: str, *, way: str = "", half: bool = False, **options: Any) -> Any:
        key = f"{name} {way} {half} {options}"
        if key not in models:
            fixed: dict[str, Any] = {"threads": 1, "max_images": 9}
            variant = {"variant": "fp16"} if half else {}
            path = exported(name, way=way, half=half)
            models[key] = OnnxVLM(path=path, **(fixed | variant | options))
        return models[key]

    return find


@pytest.fixture(scope="session")
def reference(source: Callable[[str], Path]) -> Callable[[str], Any]:
    """The same model in transformers, in float32."""
    from mmsearch_app.rerankers.local import LocalVLM

    models: dict[str, Any] = {}

    def find(name: str) -> Any:
        if name not in models:
            models[name] = LocalVLM(path=source(name), dtype="float32", device="cpu", max_images=9)
        return models[name]

    return find
