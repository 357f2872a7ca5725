"""Tiny models that are written once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the models need torch: install mmsearch[models]")
pytest.importorskip("transformers", reason="the models need transformers")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model, by its family."""
    from tests.rerankers.kit import WRITERS

    folders: dict[str, Path] = {}

    def find(family: str) -> Path:
        if family not in folders:
            folder = tmp_path_factory.mktemp("checkpoints") / family
            folders[family] = WRITERS[family](folder)
        return folders[family]

    return find


@pytest.fixture(scope="session")
def load(checkpoint: Callable[[str], Path]) -> Callable[..., Any]:
    """A loaded tiny model; the same object for the same options."""
    from tests.rerankers import kit

    models: dict[str, Any] = {}

    def find(family: str, **options: Any) -> Any:
        key = f"{family} {options}"
        if key not in models:
            models[key] = kit.load(family, checkpoint(family), **options)
        return models[key]

    return find
