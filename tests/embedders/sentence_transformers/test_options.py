"""Padding, pooling, prompts, dimension and precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmsearch_app.embedders.sentence_transformers.embedder import SentenceTransformersEmbedder
from mmsearch_app.inference.content import Content
from tests.embedders.sentence_transformers.kit import MIXED, library, one


def test_siglip_pads_words_to_the_length_it_was_trained_with(
    models: Path, siglip: SentenceTransformersEmbedder
) -> None:
    model = library(models / "siglip")
    fully = {"text": {"padding": "max_length", "max_length": 64}}
    right = model.encode("red shoe", normalize_embeddings=True, processing_kwargs=fully)
    wrong = model.encode("red shoe", normalize_embeddings=True)
    assert right @ wrong < 0.99
    np.testing.assert_allclose(one(siglip, text="red shoe"), right, atol=1e-6)


def test_a_language_model_without_a_pooling_setting_uses_its_last_token(
    models: Path, vlm: SentenceTransformersEmbedder
) -> None:
    """The library would use the mean, without a warning."""
    model = library(models / "vlm")
    assert model[1].pooling_mode == "mean"
    states = model.encode({"text": "red shoe"}, output_value="token_embeddings")
    last = states[-1].numpy() / np.linalg.norm(states[-1])
    np.testing.assert_allclose(one(vlm, text="red shoe"), last, atol=1e-6)


def test_a_models_own_pooling_setting_is_used(
    models: Path, words: SentenceTransformersEmbedder
) -> None:
    expected = library(models / "words" / "saved").encode_query(
        "red shoe", normalize_embeddings=True
    )
    np.testing.assert_allclose(one(words, text="red shoe"), expected, atol=1e-6)


def test_pooling_can_be_chosen(models: Path, vlm: SentenceTransformersEmbedder) -> None:
    mean = SentenceTransformersEmbedder(path=models / "vlm", dimension=32, pooling="mean")
    expected = library(models / "vlm").encode({"text": "red shoe"}, normalize_embeddings=True)
    np.testing.assert_allclose(one(mean, text="red shoe"), expected, atol=1e-6)
    assert mean.fingerprint != vlm.fingerprint


def test_pooling_that_does_not_fit_is_refused(models: Path) -> None:
    wrong = SentenceTransformersEmbedder(path=models / "clip", dimension=16, pooling="mean")
    with pytest.raises(ValueError, match="pooling='mean' does not fit"):
        wrong.warm_up()


def test_queries_and_documents_have_their_own_prompts(
    models: Path, words: SentenceTransformersEmbedder
) -> None:
    model = library(models / "words" / "saved")
    query, document = (
        model.encode(text, prompt="", normalize_embeddings=True)
        for text in ("represent for search: red shoe", "red shoe")
    )
    np.testing.assert_allclose(one(words, text="red shoe"), query, atol=1e-6)
    np.testing.assert_allclose(
        words.embed_documents([Content(text="red shoe")])[0], document, atol=1e-6
    )


def test_prompts_can_be_replaced(models: Path) -> None:
    path = models / "words" / "saved"
    replaced = SentenceTransformersEmbedder(
        path=path, dimension=32, query_prompt="", document_prompt="document "
    )
    plain, prompted = (
        library(path).encode(text, prompt="", normalize_embeddings=True)
        for text in ("red shoe", "document red shoe")
    )
    np.testing.assert_allclose(one(replaced, text="red shoe"), plain, atol=1e-6)
    np.testing.assert_allclose(
        replaced.embed_documents([Content(text="red shoe")])[0], prompted, atol=1e-6
    )


def test_a_wrong_dimension_is_an_error_that_names_the_right_one(models: Path) -> None:
    wrong = SentenceTransformersEmbedder(path=models / "clip", dimension=512)
    with pytest.raises(ValueError, match=r"have 16 dimensions: set dimension=16\."):
        wrong.embed_queries([Content(text="red")])


def test_vectors_are_truncated_only_on_request(
    models: Path, clip: SentenceTransformersEmbedder
) -> None:
    told = SentenceTransformersEmbedder(path=models / "clip", dimension=8, truncate=True)
    whole = one(clip, text="red")[:8]
    np.testing.assert_allclose(one(told, text="red"), whole / np.linalg.norm(whole), atol=1e-6)
    with pytest.raises(ValueError, match="or truncate=True"):
        one(SentenceTransformersEmbedder(path=models / "clip", dimension=8), text="red")


def test_half_precision_is_close_and_still_float32(models: Path) -> None:
    exact, rough = (
        SentenceTransformersEmbedder(path=models / "clip", dimension=16, dtype=dtype)
        for dtype in ("float32", "bfloat16")
    )
    vectors = rough.embed_queries(MIXED)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors * exact.embed_queries(MIXED)).sum(1).min() > 0.99
    assert exact.fingerprint == rough.fingerprint
