"""Our networks give the same results as the published code."""

from __future__ import annotations

import numpy as np
import pytest

from mmsearch_app.embedders.starter import weights
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from tests.embedders.starter.parts import needs_weights


@needs_weights
def test_the_classifier_gives_what_its_own_package_gives(embedder: StarterEmbedder) -> None:
    package = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="the reference is not installed"
    )
    import torch

    published = torch.load(weights.CLASSIFIER.locate(), weights_only=True)
    reference = package.EfficientNet.from_name("efficientnet-lite0")
    reference.load_state_dict(published)
    reference.train(mode=False)
    assert embedder._models is not None
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = embedder._models.vision.network(x)[0]
        torch.testing.assert_close(ours, reference(x), atol=1e-4, rtol=1e-4)


@needs_weights
def test_sentences_are_what_the_published_pipeline_gives(embedder: StarterEmbedder) -> None:
    transformers = pytest.importorskip("transformers", reason="the reference is not installed")
    import torch

    folder = weights.SENTENCES.locate().parent
    reference = transformers.BertModel.from_pretrained(folder, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    texts = ["a red mug", "sunglasses with a black frame and a case", "x"]
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = reference(**encoded).last_hidden_state
    mask = encoded["attention_mask"].unsqueeze(-1)
    mean = (states * mask).sum(1) / mask.sum(1)
    expected = torch.nn.functional.normalize(mean).numpy()
    assert embedder._models is not None
    found = embedder._models.sentences.embed(texts, batch_size=3)
    np.testing.assert_allclose(found, expected, atol=1e-5)
