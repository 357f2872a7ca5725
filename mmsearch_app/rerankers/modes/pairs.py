"""Each candidate alone beside the query: yes or no, by the two logits."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log1p
from typing import ClassVar

from mmsearch_app.rerankers.fusion import order_by
from mmsearch_app.rerankers.modes.base import Judgement, explain
from mmsearch_app.rerankers.prompts import words
from mmsearch_app.rerankers.prompts.scene import Scene
from mmsearch_app.rerankers.replies.schemas import HIGHEST
from mmsearch_app.rerankers.vlm import Prompt, PromptPart, VisionLanguageModel

__all__ = ["Pairs", "TrainedPairs"]

UNKNOWN = -50.0
"""In place of the logit of a word that the model does not report."""


class Pairs:
    """The safest way to ask a model that was not trained to rank: no order to be biased by."""

    name: ClassVar[str] = "pairs"
    needs_logits: ClassVar[bool] = True
    captions: ClassVar[bool] = False
    collages: ClassVar[bool] = False
    graded: ClassVar[bool] = True
    words: ClassVar[Sequence[str]] = ("yes", "Yes", "no", "No")
    """First half: yes; second half: no."""

    def judge(self, model: VisionLanguageModel, scene: Scene, *, reason: bool) -> Judgement:
        """Grades are ten times the probability of yes; ties stand as in the index.

        A candidate about which the model reports neither word has no grade, goes behind and
        counts as one repair.
        """
        places = range(len(scene.candidates))
        rows = model.score([self.ask(model, scene, place) for place in places], self.words)
        margins = [_margin(row) if max(row) > -inf else None for row in rows]
        order = order_by(margins)
        why = explain(model, scene, order[0]) if reason else ""
        grades = tuple(None if margin is None else _grade(margin) for margin in margins)
        return Judgement(order=order, grades=grades, reason=why, repairs=grades.count(None))

    def ask(self, model: VisionLanguageModel, scene: Scene, place: int) -> Prompt:
        """The question about one candidate."""
        title = scene.titles[place]
        asked = words.ask_for_match(scene.words, title, pictured=scene.pictured)
        return Prompt(parts=(*scene.show_pair(place, model.capabilities), asked))


class TrainedPairs(Pairs):
    """In the words on which Qwen3-VL-Reranker was trained (its model card)."""

    name: ClassVar[str] = "trained-pairs"
    words: ClassVar[Sequence[str]] = ("yes", "no")
    system: ClassVar[str] = (
        "Judge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".'
    )
    instruction: ClassVar[str] = (
        "Find products that are like the picture and follow the words of the query."
    )

    def ask(self, model: VisionLanguageModel, scene: Scene, place: int) -> Prompt:
        """Query and document, each with its picture first."""
        candidate = scene.candidates[place]
        parts: list[PromptPart] = [f"<Instruct>: {self.instruction}", "<Query>:"]
        parts += [scene.query.image] if scene.query.image else []
        parts += [words.flatten(scene.words)]
        parts += ["\n<Document>:"]
        parts += [candidate.image] if candidate.image else []
        parts += [words.flatten(scene.titles[place])]
        return Prompt(system=self.system, parts=tuple(part for part in parts if part))


def _grade(margin: float) -> float:
    return HIGHEST / (1 + exp(min(-margin, 700.0)))


def _margin(row: Sequence[float]) -> float:
    """The logit of yes minus that of no, each over all its spellings."""
    half = len(row) // 2
    return _together(row[:half]) - _together(row[half:])


def _together(logits: Sequence[float]) -> float:
    """The logarithm of the sum of exponentials."""
    best = max(logits)
    if best == -inf:
        return UNKNOWN
    rest = sum(exp(logit - best) for logit in logits) - 1
    return best + log1p(max(rest, 0.0))
