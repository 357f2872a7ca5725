"""Branches move, so a fingerprint contains the commit that was downloaded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.backends import get_embedder
from mmsearch_app.embedders.bge_m3 import BGEM3
from mmsearch_app.embedders.bge_vl import BGEVL
from mmsearch_app.embedders.open_clip import OpenCLIPEmbedder
from mmsearch_app.embedders.sentence_transformers.embedder import SentenceTransformersEmbedder
from mmsearch_app.embedders.visualized_bge.embedder import VisualizedBGE
from mmsearch_app.indexing.generations import ensure_live
from mmsearch_app.inference.content import Content
from mmsearch_app.rerankers.local import LocalVLM
from mmsearch_app.testing import IN_MEMORY
from tests.embedders.kit import CLIP

OLD, NEW = "a" * 40, "b" * 40
MINE: dict[str, Any] = {"model": "shop/clip", "revision": "main"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def point(cache: Path, repository: str, commit: str, *, branch: str = "main") -> Path:
    """Record the commit of a branch at its download, as the hub's cache does."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / branch).write_text(commit, encoding="utf-8")
    return folder / "snapshots" / commit


def make(kind: str) -> Any:
    if kind == "bge-vl":
        return BGEVL()
    if kind == "bge-m3":
        return BGEM3(revision="main")
    if kind == "visualized":
        return VisualizedBGE(revision="main")
    if kind == "open-clip":
        return OpenCLIPEmbedder(dimension=8, **MINE)
    if kind == "reranker":
        return LocalVLM(**MINE)
    return SentenceTransformersEmbedder(dimension=8, **MINE)


@pytest.mark.parametrize(
    "kind", ["bge-vl", "bge-m3", "visualized", "open-clip", "sentence-transformers", "reranker"]
)
def test_machines_with_different_commits_of_a_branch_have_different_fingerprints(
    cache: Path, kind: str
) -> None:
    model = make(kind)
    assert "@main" in model.fingerprint
    found = []
    for commit in (OLD, NEW):
        point(cache, model.release.repository, commit)
        found.append(model.fingerprint)
    assert f"@{OLD[:12]}" in found[0]
    assert f"@{NEW[:12]}" in found[1]


def test_a_given_commit_is_used_whichever_commit_the_branch_had(cache: Path) -> None:
    embedder = BGEVL(revision=OLD)
    point(cache, "BAAI/BGE-VL-base", NEW)
    assert f"@{OLD[:12]}" in embedder.fingerprint
    assert embedder.settled


def test_a_branch_is_resolved_once_it_is_downloaded(cache: Path) -> None:
    embedder = BGEVL()
    assert not embedder.settled
    point(cache, "BAAI/BGE-VL-base", OLD)
    assert embedder.settled
    assert BGEVL(path=CLIP).settled


class Downloading(BGEVL):
    """Puts a small model into the cache if downloads are allowed, as the hub's client does."""

    def __init__(self) -> None:
        super().__init__()
        self.dimension = BGEVL(path=CLIP).dimension

    def _load(self, *, download: bool) -> Any:
        from huggingface_hub import constants

        if download:
            folder = point(Path(constants.HF_HUB_CACHE), self.release.repository, OLD)
            shutil.copytree(CLIP, folder, dirs_exist_ok=True)
        return super()._load(download=download)


@pytest.mark.django_db
def test_the_first_index_is_named_after_the_commit_that_was_downloaded_for_it(
    cache: Path, settings: Any
) -> None:
    settings.MMSEARCH = {**IN_MEMORY, "EMBEDDER": {"BACKEND": f"{__name__}.Downloading"}}
    live = ensure_live()
    assert f"@{OLD[:12]}" in live.fingerprint
    assert ensure_live() == live
    assert get_embedder().embed_queries([Content(text="a")]).shape == (1, live.dimension)
