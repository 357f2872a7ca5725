"""A tiny CLIP behind a server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmsearch_app.embedders.sentence_transformers.embedder import SentenceTransformersEmbedder
from tests.embedders import checkpoints
from tests.embedders.openai.embedding_server import EmbeddingServer, serving


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> SentenceTransformersEmbedder:
    folder = checkpoints.write_clip(tmp_path_factory.mktemp("served") / "clip")
    embedder = SentenceTransformersEmbedder(path=folder, dimension=16)
    embedder.warm_up()
    return embedder


@pytest.fixture
def server(model: SentenceTransformersEmbedder) -> Iterator[EmbeddingServer]:
    with serving(model) as served:
        yield served
