"""The second part of the training: to judge what is seen. Imports torch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from example_shop.llvm.batches import Batch, Exercise, Writer, collate
from example_shop.llvm.lessons import Lesson

POOL = 16
"""Batches whose exercises are sorted by length, so that little of a batch is padding."""


class Reader(nn.Module):
    """The text model with its words, without the vision encoder."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.text = network.model.text_model
        self.image = int(network.config.image_token_id)

    def forward(self, batch: Batch, seen: Tensor) -> Tensor:
        """Logits at the batch's places; `seen` (pictures, tokens, width) are its pictures."""
        table = self.text.embed_tokens.weight
        words = nn.functional.embedding(batch.ids, table)
        where = (batch.ids == self.image)[:, :, None]
        inputs = words.masked_scatter(where, seen.to(words.dtype))
        hidden = self.text(inputs_embeds=inputs, attention_mask=batch.mask, use_cache=False)
        chosen = hidden.last_hidden_state.flatten(0, 1)[batch.places]
        logits: Tensor = chosen @ table.T
        return logits


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy with targets that are distributions, less what cannot be learned."""
    log_odds = logits.float().log_softmax(dim=-1)
    unsure = torch.special.entr(targets).sum(dim=-1)
    loss: Tensor = (-(targets * log_odds).sum(dim=-1) - unsure).mean()
    return loss


def batches(
    writer: Writer, lessons: Iterator[Lesson], *, size: int, chance: random.Random
) -> Iterator[Batch]:
    """Batches without end, each of exercises of like length. `size` counts tokens with padding."""
    tokenizer = writer.tokenizer
    while True:
        pool = [writer.write(lesson) for lesson in islice(lessons, 64 * POOL)]
        pool.sort(key=lambda exercise: len(exercise.ids))
        parts = list(_cut(pool, size))
        chance.shuffle(parts)
        for part in parts:
            yield collate(part, pad=tokenizer.pad_token_id, vocabulary=len(tokenizer))


def _cut(pool: Sequence[Exercise], size: int) -> Iterator[list[Exercise]]:
    part: list[Exercise] = []
    for exercise in pool:
        if part and len(exercise.ids) * (len(part) + 1) > size:
            yield part
            part = []
        part.append(exercise)
    yield part
