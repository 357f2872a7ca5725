"""A tiny model of each kind that sentence-transformers supports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmsearch_app.embedders.sentence_transformers.embedder import SentenceTransformersEmbedder
from tests.embedders import checkpoints
from tests.embedders.listener import Listener, listening


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sentence-transformers")
    checkpoints.write_clip(folder / "clip")
    checkpoints.write_siglip(folder / "siglip")
    checkpoints.write_idefics3(folder / "vlm")
    checkpoints.write_sentence_encoder(folder / "words", prompts=checkpoints.PROMPTS)
    return folder


@pytest.fixture(scope="session")
def clip(models: Path) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(path=models / "clip", dimension=16)


@pytest.fixture(scope="session")
def siglip(models: Path) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(path=models / "siglip", dimension=32)


@pytest.fixture(scope="session")
def vlm(models: Path) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(path=models / "vlm", dimension=32)


@pytest.fixture(scope="session")
def words(models: Path) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(path=models / "words" / "saved", dimension=32)


@pytest.fixture(params=["clip", "siglip", "vlm"])
def embedder(request: pytest.FixtureRequest) -> SentenceTransformersEmbedder:
    found: SentenceTransformersEmbedder = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found
