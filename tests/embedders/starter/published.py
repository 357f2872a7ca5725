"""The two networks as their authors' packages run them, in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsearch_app.embedders.starter import weights

Floats = NDArray[np.float32]
BLOCKS = {"texture": 10, "shape": 15}


def load_classifier() -> Callable[[NDArray[np.uint8]], tuple[Floats, Floats, Floats]]:
    """Return a function from pixels (n, 224, 224, 3) to logits, mean shapes and textures."""
    reason = "the published classifier is not installed"
    package: Any = pytest.importorskip("efficientnet_lite_pytorch", reason=reason)
    import torch

    network = package.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights.CLASSIFIER.locate(), weights_only=True))
    network.train(mode=False)
    kept: dict[str, Any] = {}
    for name, block in BLOCKS.items():
        network._blocks[block].register_forward_hook(partial(_keep, kept, name))

    def classify(pixels: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
        with torch.inference_mode():
            logits = network((torch.tensor(pixels).permute(0, 3, 1, 2).float() - 127) / 128)
        return logits.numpy(), kept["shape"].mean((2, 3)).numpy(), kept["texture"].numpy()

    return classify


def _keep(kept: dict[str, Any], name: str, _module: Any, _inputs: Any, output: Any) -> None:
    kept[name] = output


def load_sentence_encoder() -> Callable[[Sequence[str]], Floats]:
    """Return a function from texts to their meanings, rows of length 1."""
    reason = "the published sentence encoder is not installed"
    transformers: Any = pytest.importorskip("transformers", reason=reason)
    import torch

    folder = weights.SENTENCES.locate().parent
    network = transformers.BertModel.from_pretrained(folder, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def embed(texts: Sequence[str]) -> Floats:
        encoded = tokenizer(
            list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        with torch.inference_mode():
            states = network(**encoded).last_hidden_state
        mask = encoded["attention_mask"].unsqueeze(-1)
        mean = (states * mask).sum(1) / mask.sum(1)
        found: Floats = torch.nn.functional.normalize(mean).numpy()
        return found

    return embed
