"""Images with words: in models that read both, models that add vectors, and text models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsearch_app.embedders.sentence_transformers.embedder import SentenceTransformersEmbedder
from mmsearch_app.inference.content import Content
from tests.embedders.sentence_transformers.kit import RED, library, one

# Images with words


def test_a_clip_adds_the_unit_vectors_of_image_and_words(
    clip: SentenceTransformersEmbedder,
) -> None:
    expected = one(clip, image=RED) + one(clip, text="in blue")
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(one(clip, image=RED, text="in blue"), expected, atol=1e-6)


@pytest.mark.parametrize("image_weight", [0.0, 0.3, 1.0])
def test_the_weight_of_the_image_is_an_option(models: Path, image_weight: float) -> None:
    weighted = SentenceTransformersEmbedder(
        path=models / "clip", dimension=16, image_weight=image_weight
    )
    expected = image_weight * one(weighted, image=RED)
    expected += (1 - image_weight) * one(weighted, text="in blue")
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(one(weighted, image=RED, text="in blue"), expected, atol=1e-6)


def test_a_multimodal_model_reads_image_and_words_at_once(
    vlm: SentenceTransformersEmbedder,
) -> None:
    late = one(vlm, image=RED) + one(vlm, text="in blue")
    late /= np.linalg.norm(late)
    assert one(vlm, image=RED, text="in blue") @ late < 0.999


def test_the_image_comes_before_the_words(models: Path, vlm: SentenceTransformersEmbedder) -> None:
    model = library(models / "vlm")
    model[1] = type(model[1])(32, "lasttoken")
    first, last = (
        model.encode([given], normalize_embeddings=True)[0]
        for given in ({"image": RED, "text": "in blue"}, {"text": "in blue", "image": RED})
    )
    assert first @ last < 0.999
    np.testing.assert_allclose(one(vlm, image=RED, text="in blue"), first, atol=1e-6)


def test_documents_are_embedded_by_their_image_alone(clip: SentenceTransformersEmbedder) -> None:
    with_title, without = clip.embed_documents(
        [Content(image=RED, text="a mug"), Content(image=RED)]
    )
    np.testing.assert_allclose(with_title, without, atol=1e-6)


def test_documents_may_be_embedded_by_image_and_title(models: Path) -> None:
    both = SentenceTransformersEmbedder(path=models / "clip", dimension=16, documents="both")
    contents = [Content(image=RED, text="a mug")]
    np.testing.assert_allclose(
        both.embed_documents(contents), both.embed_queries(contents), atol=1e-6
    )


def test_a_very_long_image_is_cut_before_it_is_resized(
    embedder: SentenceTransformersEmbedder,
) -> None:
    line = Image.linear_gradient("L").resize((1, 4000)).convert("RGB")
    middle = line.crop((0, 1975, 1, 2025))
    np.testing.assert_allclose(one(embedder, image=line), one(embedder, image=middle), atol=1e-6)


# Text models


def test_a_text_model_embeds_the_title_of_an_image(words: SentenceTransformersEmbedder) -> None:
    with_picture, without = words.embed_documents(
        [Content(image=RED, text="red shoe"), Content(text="red shoe")]
    )
    np.testing.assert_allclose(with_picture, without, atol=1e-6)


def test_an_image_without_a_title_does_not_stop_a_worker(
    words: SentenceTransformersEmbedder,
) -> None:
    blank, empty = words.embed_documents([Content(image=RED), Content(text="")])
    np.testing.assert_allclose(blank, empty, atol=1e-6)


def test_a_text_model_refuses_an_image_query(words: SentenceTransformersEmbedder) -> None:
    words.warm_up()
    with pytest.raises(ValueError, match="embeds texts only"):
        one(words, image=RED)
