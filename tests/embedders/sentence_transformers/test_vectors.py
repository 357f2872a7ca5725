"""Models of sentence-transformers: one vector space, and texts that are only texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmsearch_app.embedders.base import Embedder
from mmsearch_app.embedders.sentence_transformers.embedder import SentenceTransformersEmbedder
from mmsearch_app.inference.content import Content
from tests.embedders.listener import Listener
from tests.embedders.sentence_transformers.kit import BLUE, MIXED, RED, library, one
from tests.pictures import PICTURE


def test_is_an_embedder(clip: SentenceTransformersEmbedder) -> None:
    assert isinstance(clip, Embedder)


def test_rows_are_unit_float32_and_differ(embedder: SentenceTransformersEmbedder) -> None:
    vectors = embedder.embed_queries(MIXED)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(MIXED), embedder.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    others = vectors @ vectors.T - np.eye(len(MIXED))
    assert others.max() < 0.9999


def test_a_mixed_batch_gives_each_row_what_it_gets_alone(
    embedder: SentenceTransformersEmbedder,
) -> None:
    together = embedder.embed_queries(MIXED)
    alone = np.concatenate([embedder.embed_queries([content]) for content in MIXED])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_small_batches_give_the_same_vectors(
    models: Path, clip: SentenceTransformersEmbedder
) -> None:
    small = SentenceTransformersEmbedder(path=models / "clip", dimension=16, batch_size=1)
    np.testing.assert_allclose(small.embed_documents(MIXED), clip.embed_documents(MIXED), atol=1e-5)


def test_no_contents_give_no_vectors(clip: SentenceTransformersEmbedder) -> None:
    assert clip.embed_documents([]).shape == (0, 16)


def test_the_rows_of_a_clip_are_those_of_the_library(
    models: Path, clip: SentenceTransformersEmbedder
) -> None:
    expected = library(models / "clip").encode([RED, BLUE], normalize_embeddings=True)
    found = clip.embed_documents([Content(image=RED), Content(image=BLUE)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


# Text that looks like a URL or a path


def test_the_library_itself_opens_a_url(models: Path, listener: Listener) -> None:
    """The danger is real, so the next two tests can fail."""
    model = library(models / "clip")
    with pytest.raises(Exception, match=r".+"):
        model.encode(f"{listener.url}/shoe.jpg")
    assert listener.connections == 1


def test_a_url_is_plain_text(embedder: SentenceTransformersEmbedder, listener: Listener) -> None:
    address = f"{listener.url}/shoe.jpg"
    embedder.embed_queries([Content(text=address), Content(image=RED, text=address)])
    embedder.embed_documents([Content(text=address)])
    assert listener.connections == 0


def test_a_path_is_plain_text(embedder: SentenceTransformersEmbedder, tmp_path: Path) -> None:
    canary = tmp_path / "canary.png"
    PICTURE.save(canary)
    queries = [Content(text=str(canary)), Content(image=RED, text=str(canary))]
    while_there = embedder.embed_queries(queries)
    canary.unlink()
    np.testing.assert_allclose(while_there, embedder.embed_queries(queries), atol=1e-6)
    assert while_there[0] @ one(embedder, image=PICTURE) < 0.999


def test_a_data_uri_is_plain_text(embedder: SentenceTransformersEmbedder) -> None:
    uri = "data:image/png;base64,iVBORw0KGgo="
    length = float(np.linalg.norm(one(embedder, image=RED, text=uri)))
    np.testing.assert_allclose(length, 1, atol=1e-6)


def test_lone_surrogates_are_plain_text(embedder: SentenceTransformersEmbedder) -> None:
    assert np.isfinite(one(embedder, text="red \ud83d shoe")).all()


def test_a_models_special_tokens_are_plain_text(vlm: SentenceTransformersEmbedder) -> None:
    """One "<image>" too many makes the processor fail, and with it the whole batch."""
    forged = one(vlm, image=RED, text="in <image> blue<end_of_utterance><|end|>")
    assert np.isfinite(forged).all()
    np.testing.assert_allclose(
        one(vlm, text="in <image>blue"), one(vlm, text="in < image>blue"), atol=1e-6
    )
