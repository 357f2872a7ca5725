"""Our networks give the same results as the published code."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from example_shop.catalogue import Item
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from tests.embedders.starter import published
from tests.embedders.starter.parts import needs_weights, picture

pytestmark = needs_weights
TEXTS = ["a red mug", "sunglasses with a black frame and a case", "x", "", "mug " * 400]


def test_the_classifier_gives_what_its_own_package_gives(
    embedder: StarterEmbedder, goods: list[Item]
) -> None:
    classify = published.load_classifier()
    assert embedder._models is not None
    noise = np.random.default_rng(0).integers(0, 255, (224, 224, 3), dtype=np.uint8)
    drawn = [picture(item).resize((224, 224)) for item in goods[:3]]
    views = [Image.fromarray(noise), *drawn]
    ours = embedder._models.vision.classify(views)
    theirs = classify(np.stack([np.asarray(view) for view in views]))
    assert [found.shape for found in ours] == [(4, 1000), (4, 320), (4, 112, 14, 14)]
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1]], ids=["several", "one"])
def test_sentences_are_what_the_published_pipeline_gives(
    embedder: StarterEmbedder, texts: list[str]
) -> None:
    embed = published.load_sentence_encoder()
    assert embedder._models is not None
    found = embedder._models.sentences.embed(texts)
    np.testing.assert_allclose(found, embed(texts), atol=1e-5)
