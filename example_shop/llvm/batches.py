"""Lessons as tensors. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from example_shop.llvm.lessons import Lesson
from example_shop.llvm.network import AROUND, IMAGE, WHOLE, Size
from mmsearch_app.inference import defuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """A lesson in tokens."""

    task: str
    ids: tuple[int, ...]
    """Prompt, then reply."""
    asked: int
    """Tokens of the prompt."""
    pictures: tuple[int, ...]
    first: tuple[tuple[int, float], ...] = ()
    """How likely each first token of the reply should be; empty if the reply is in `ids`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Exercises, padded on the right. Places are indices of the flattened (rows × length)."""

    ids: Tensor
    """(rows, length), int64."""
    mask: Tensor
    """(rows, length), bool: what is not padding."""
    pictures: Tensor
    """(pictures,), int64: the numbers of all pictures in order."""
    places: Tensor
    """(n,): after which tokens the next one is learned."""
    targets: Tensor
    """(n, vocabulary): how likely each next token should be."""


class Writer:
    """Writes lessons as the production code would: same messages, same template."""

    def __init__(self, processor: Any, size: Size) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.picture = AROUND + WHOLE + IMAGE * size.tokens + AROUND

    def write(self, lesson: Lesson) -> Exercise:
        """Prompt and reply in tokens."""
        parts = [
            {"type": "text", "text": defuse(part)} if isinstance(part, str) else {"type": "image"}
            for part in lesson.prompt.parts
        ]
        message = {"role": "user", "content": parts}
        text = self.processor.apply_chat_template([message], add_generation_prompt=True)
        prompt = self._ids(text.replace(IMAGE, self.picture))
        reply: list[int] = []
        if lesson.reply:
            reply = [*self._ids(lesson.reply), self.tokenizer.eos_token_id]
        first = lesson.first or {}
        return Exercise(
            task=lesson.task,
            ids=(*prompt, *reply),
            asked=len(prompt),
            pictures=lesson.pictures,
            first=tuple((self._ids(word)[0], share) for word, share in first.items()),
        )

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return found


def collate(exercises: Sequence[Exercise], *, pad: int, vocabulary: int) -> Batch:
    """One batch of them."""
    length = max(len(exercise.ids) for exercise in exercises)
    ids = torch.full((len(exercises), length), pad)
    mask = torch.zeros((len(exercises), length), dtype=torch.bool)
    places: list[int] = []
    targets: list[tuple[tuple[int, float], ...]] = []
    for row, exercise in enumerate(exercises):
        size = len(exercise.ids)
        ids[row, :size] = torch.tensor(exercise.ids)
        mask[row, :size] = True
        begin = row * length + exercise.asked - 1
        replies = [((token, 1.0),) for token in exercise.ids[exercise.asked :]]
        learned = [exercise.first] if exercise.first else replies
        places += range(begin, begin + len(learned))
        targets += learned
    goal = torch.zeros(len(places), vocabulary)
    for row, odds in enumerate(targets):
        for token, share in odds:
            goal[row, token] = share
    return Batch(
        ids=ids,
        mask=mask,
        pictures=torch.tensor([n for exercise in exercises for n in exercise.pictures]),
        places=torch.tensor(places),
        targets=goal,
    )
