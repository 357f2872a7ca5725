"""The path of the Milvus Lite file, independent of the working directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.indexes.milvus import MilvusIndex


def path_of(**options: Any) -> str | None:
    return MilvusIndex(**options)._connection.path


def test_a_relative_path_starts_at_the_projects_folder(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BASE_DIR = tmp_path / "shop"
    monkeypatch.chdir(tmp_path)
    assert path_of() == str(tmp_path / "shop" / "mmsearch.db")
    assert path_of(uri="data/index.db") == str(tmp_path / "shop" / "data" / "index.db")
    assert path_of(uri=tmp_path / "own.db") == str(tmp_path / "own.db")


def test_without_a_project_folder_it_starts_at_the_working_directory(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del settings.BASE_DIR
    monkeypatch.chdir(tmp_path)
    assert path_of() == str(tmp_path / "mmsearch.db")
