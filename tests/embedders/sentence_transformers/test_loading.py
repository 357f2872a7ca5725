"""Where a model is found, when it is loaded, and its fingerprint."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsearch_app.embedders.sentence_transformers.embedder import SentenceTransformersEmbedder
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.weights import MissingWeights
from tests import fresh
from tests.embedders.sentence_transformers.kit import MIXED, one


def test_constructing_imports_and_opens_nothing() -> None:
    code = (
        "from mmsearch_app.embedders.sentence_transformers import SentenceTransformersEmbedder\n"
        "assert SentenceTransformersEmbedder(model='owner/name', dimension=8).fingerprint"
    )
    assert not fresh.imports(code, "torch", "transformers", "sentence_transformers")


def test_several_threads_load_once_and_get_the_same_vectors(models: Path) -> None:
    fresh = SentenceTransformersEmbedder(path=models / "clip", dimension=16)
    loads: list[bool] = []
    load = fresh._load

    def counted(*, download: bool) -> Any:
        loads.append(download)
        return load(download=download)

    fresh._load = counted  # type: ignore[method-assign]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(fresh.embed_queries, [MIXED] * 6))
    assert len(loads) == 1
    for result in results:
        np.testing.assert_allclose(result, results[0], atol=1e-5)


def test_a_missing_folder_is_named_in_the_error(tmp_path: Path) -> None:
    absent = SentenceTransformersEmbedder(path=tmp_path / "absent", dimension=8)
    with pytest.raises(MissingWeights, match=r"lacks config\.json or modules\.json"):
        absent.warm_up()


def test_an_interrupted_download_is_named(models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / "clip", tmp_path / "clip"))
    (folder / "model.safetensors").unlink()
    index = '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(MissingWeights, match=r"lacks model-00001-of-00002\.safetensors"):
        SentenceTransformersEmbedder(path=folder, dimension=16).warm_up()


@pytest.fixture
def cache(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache that contains the CLIP as owner/name; returns the model's folder in it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    return Path(shutil.copytree(models / "clip", repository / "snapshots" / commit))


def test_a_model_in_the_hub_cache_is_found_by_name(
    cache: Path, clip: SentenceTransformersEmbedder
) -> None:
    cached = SentenceTransformersEmbedder(model="owner/name", dimension=16)
    np.testing.assert_allclose(one(cached, text="red"), one(clip, text="red"), atol=1e-6)


def test_an_incomplete_model_in_the_cache_is_not_used(cache: Path) -> None:
    (cache / "model.safetensors").unlink()
    with pytest.raises(MissingWeights, match="owner/name at revision main is not on this machine"):
        SentenceTransformersEmbedder(model="owner/name", dimension=16).warm_up()


def test_a_query_never_downloads(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[bool] = []
    download = huggingface_hub.snapshot_download

    def recorded(*args: Any, **options: Any) -> Any:
        asked.append(not options["local_files_only"])
        return download(*args, **options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", recorded)
    absent = SentenceTransformersEmbedder(model="owner/other", dimension=16)
    with pytest.raises(MissingWeights):
        absent.embed_queries([Content(text="red")])
    assert asked == [False]
    with pytest.raises(MissingWeights):
        absent.embed_documents([Content(text="red")])
    assert asked == [False, False, True]


@pytest.mark.parametrize("options", [{}, {"model": "owner/name", "path": "folder"}])
def test_path_and_model_exclude_each_other(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of the two"):
        SentenceTransformersEmbedder(dimension=8, **options)


# Fingerprint


def test_a_fingerprint_depends_on_model_and_options(models: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(models / "clip", tmp_path / "elsewhere"))
    (copy / "README.md").write_text("Words about the model.")
    options: list[dict[str, Any]] = [
        {"path": models / "clip"},
        {"path": models / "siglip"},
        {"path": models / "clip", "image_weight": 0.4},
        {"path": models / "clip", "query_prompt": "a"},
        {"path": models / "clip", "document_prompt": "a"},
        {"path": models / "clip", "documents": "both"},
        {"path": models / "clip", "truncate": True},
        {"model": "owner/name"},
        {"model": "owner/name", "revision": "v2"},
    ]
    found = [SentenceTransformersEmbedder(dimension=16, **o).fingerprint for o in options]
    assert len(set(found)) == len(options)
    assert SentenceTransformersEmbedder(path=copy, dimension=16).fingerprint == found[0]
