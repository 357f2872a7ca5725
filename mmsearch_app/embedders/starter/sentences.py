"""all-MiniLM-L6-v2: the meaning of words as unit vectors of 384 numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from tokenizers import Tokenizer

from mmsearch_app.embedders.starter import weights
from mmsearch_app.embedders.starter.encoder import WIDTH, MiniLM

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Sentences"]

MOST_TOKENS = 256  # as the model was trained


class Sentences:
    """The encoder, loaded from its pinned files. Raises PartMissing where they are not there."""

    def __init__(self, *, device: str) -> None:
        self.device = device
        self.tokenizer = Tokenizer.from_str(weights.TOKENIZER.read().decode())
        self.tokenizer.enable_truncation(MOST_TOKENS)
        self.tokenizer.enable_padding()
        with torch.device("meta"):  # the weights replace all of it
            self.model = MiniLM()
        self.model.load(load_safetensors(weights.SENTENCES.read()))
        self.model.requires_grad_(requires_grad=False).to(device)

    def embed(self, texts: Sequence[str], *, batch_size: int) -> NDArray[np.float32]:
        """Embed texts, which are never opened as addresses; shape (n, 384), rows of length 1."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found = np.empty((len(texts), WIDTH), np.float32)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            found[batch] = self._embed([texts[i] for i in batch])
        return found

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        encoded = self.tokenizer.encode_batch(texts)
        ids = torch.tensor([e.ids for e in encoded], device=self.device)
        mask = torch.tensor([e.attention_mask for e in encoded], device=self.device)
        with torch.inference_mode():
            vectors: NDArray[np.float32] = self.model(ids, mask).cpu().numpy()
        return vectors
