"""Ways to ask a model for an order of the candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import exp, inf, log1p
from typing import ClassVar, Protocol

from mmsearch_app.rerankers.fusion import order_by
from mmsearch_app.rerankers.prompts import words
from mmsearch_app.rerankers.prompts.scene import Scene
from mmsearch_app.rerankers.replies.parsing import (
    Judgement,
    read_grades,
    read_ranking,
    read_sentence,
)
from mmsearch_app.rerankers.replies.schemas import HIGHEST, grades_form, ranking_form
from mmsearch_app.rerankers.vlm import Form, Prompt, PromptPart, VisionLanguageModel

SENTENCE = 80
"""Tokens of a sentence that is not constrained by a form."""
UNKNOWN = -50.0
"""In place of the logit of a word that the model does not report."""


class Mode(Protocol):
    """A way to ask. Has no state; called from several threads."""

    name: ClassVar[str]
    needs_logits: ClassVar[bool] = False
    """Whether the model must have `capabilities.logits`."""
    captions: ClassVar[bool] = False
    """Whether a caption of the query image is asked for first."""
    collages: ClassVar[bool] = True
    """Whether all candidates are shown in one prompt, so that their number is limited."""
    graded: ClassVar[bool] = False
    """Whether it gives grades, by which candidates of several prompts can be compared."""

    def judge(self, model: VisionLanguageModel, scene: Scene, *, reason: bool) -> Judgement:
        """Order all candidates of the scene, whatever the model replies.

        `reason` asks for a reason if it takes another call; a reason that comes with the reply
        is returned in any case. Raises what the model raises.
        """
        ...


class Grades(Mode):
    """A grade from 0 to 10 for every candidate, and one reason: the default.

    Complete with any engine that keeps to a JSON schema: each grade is a required key.
    """

    name = "grades"
    graded = True

    def judge(self, model: VisionLanguageModel, scene: Scene, *, reason: bool) -> Judgement:
        form = grades_form(len(scene.candidates))
        return read_grades(_ask_about_all(model, scene, words.ask_for_grades, form), scene.labels)


class Listwise(Mode):
    """One list of all candidates and a reason, after a caption of the query image.

    For models that are trained for it: an untrained one may rank far worse than the index, and
    should get at most half of the weight in the fusion.
    """

    name = "listwise"
    captions = True

    def judge(self, model: VisionLanguageModel, scene: Scene, *, reason: bool) -> Judgement:
        form = ranking_form(len(scene.candidates))
        return read_ranking(_ask_about_all(model, scene, words.ask_for_ranking, form), scene.labels)


class Letters(Mode):
    """Order by how much the model wants to begin its answer with each label.

    One forward pass, nothing is generated: FIRST (Reddy et al., arXiv 2406.15657). A label that
    the model does not report goes behind the others and counts as one repair.
    """

    name = "letters"
    needs_logits = True

    def judge(self, model: VisionLanguageModel, scene: Scene, *, reason: bool) -> Judgement:
        shown = scene.show_all(model.capabilities)
        prompt = Prompt(parts=(*shown, words.ask_for_letter(scene)))
        row = model.score([prompt], list(scene.labels))[0]
        scores = [score if score > -inf else None for score in row]
        order = order_by(scores)
        why = _explain(model, scene, order[0]) if reason else ""
        return Judgement(order=order, reason=why, repairs=scores.count(None))


class Pairs(Mode):
    """Show each candidate alone beside the query; the logits of yes and no grade it.

    The safest way to ask a model that was not trained to rank: there is no order to be biased
    by. A grade is ten times the probability of yes. A candidate for which the model reports
    neither word has no grade, goes behind the others and counts as one repair.
    """

    name = "pairs"
    needs_logits = True
    collages = False
    graded = True
    words: ClassVar[Sequence[str]] = ("yes", "Yes", "no", "No")
    """First half: yes; second half: no."""

    def judge(self, model: VisionLanguageModel, scene: Scene, *, reason: bool) -> Judgement:
        places = range(len(scene.candidates))
        rows = model.score([self.ask(model, scene, place) for place in places], self.words)
        margins = [_margin(row) if max(row) > -inf else None for row in rows]
        order = order_by(margins)
        why = _explain(model, scene, order[0]) if reason else ""
        grades = tuple(None if margin is None else _grade(margin) for margin in margins)
        return Judgement(order=order, grades=grades, reason=why, repairs=grades.count(None))

    def ask(self, model: VisionLanguageModel, scene: Scene, place: int) -> Prompt:
        """The question about one candidate."""
        shown = scene.show_pair(place, model.capabilities)
        return Prompt(parts=(*shown, words.ask_for_match(scene, place)))


class TrainedPairs(Pairs):
    """Pairs in the words on which Qwen3-VL-Reranker was trained.

    The form is that of `format_mm_instruction` in its authors' code (QwenLM/Qwen3-VL-Embedding,
    src/models/qwen3_vl_reranker.py): this system message, then instruction, query and document,
    an image before its text, and "NULL" for one that is empty. The grade is the sigmoid of the
    logit of "yes" less that of "no", as there. The instruction is ours, because the task is
    composed retrieval; theirs is "Given a search query, retrieve relevant candidates that answer
    the query."
    """

    name = "trained-pairs"
    words: ClassVar[Sequence[str]] = ("yes", "no")
    system: ClassVar[str] = (
        "Judge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".'
    )
    instruction: ClassVar[str] = (
        "Find products that are like the picture and follow the words of the query."
    )

    def ask(self, model: VisionLanguageModel, scene: Scene, place: int) -> Prompt:
        """Query and document, each with its image first."""
        candidate = scene.candidates[place]
        parts: list[PromptPart | None] = [
            f"<Instruct>: {self.instruction}",
            "<Query>:",
            *_show_or_null(scene.query.image, scene.words),
            "\n<Document>:",
            *_show_or_null(candidate.image, scene.titles[place]),
        ]
        return Prompt(system=self.system, parts=tuple(part for part in parts if part))


def _show_or_null(image: PromptPart | None, text: str) -> tuple[PromptPart | None, str]:
    said = words.flatten(text)
    return image, said if said or image is not None else "NULL"


MODES: Mapping[str, type[Mode]] = {
    mode.name: mode for mode in (Grades, Letters, Listwise, Pairs, TrainedPairs)
}
"""By the name that a setting uses."""


def judge_in_windows(
    mode: Mode, model: VisionLanguageModel, scene: Scene, *, size: int, reason: bool
) -> Judgement:
    """Judge all candidates, of which one prompt shows at most `size`, at least 2.

    A mode with grades is asked about one window after the other, and the grades are compared.
    Any other slides a window from the last candidates to the first, half a window at a time, so
    that a good candidate can rise to the top (RankGPT, Sun et al., arXiv 2304.09542).
    """
    if len(scene.candidates) <= size or not mode.collages:
        return mode.judge(model, scene, reason=reason)
    if mode.graded:
        return _compare(mode, model, scene, size=size, reason=reason)
    return _slide(mode, model, scene, size=size, reason=reason)


def _compare(
    mode: Mode, model: VisionLanguageModel, scene: Scene, *, size: int, reason: bool
) -> Judgement:
    count = len(scene.candidates)
    windows = -(-count // size)
    grades: list[float | None] = []
    judgements = []
    for window in range(windows):  # of like size: 20 with at most 9 are 6, 7 and 7
        places = range(count * window // windows, count * (window + 1) // windows)
        found = mode.judge(model, scene.of(places), reason=reason)
        grades += found.grades or ()
        judgements.append((places, found))
    order = order_by(grades)
    best = (f.reason for places, f in judgements if places[f.order[0]] == order[0])
    return Judgement(
        order=order,
        grades=tuple(grades),
        reason=next(best, ""),
        repairs=sum(found.repairs for _, found in judgements),
    )


def _slide(
    mode: Mode, model: VisionLanguageModel, scene: Scene, *, size: int, reason: bool
) -> Judgement:
    order = list(range(len(scene.candidates)))
    start, repairs = len(order) - size, 0
    while True:
        seen = order[start : start + size]
        found = mode.judge(model, scene.of(seen), reason=reason and start == 0)
        order[start : start + size] = [seen[place] for place in found.order]
        repairs += found.repairs
        if start == 0:
            return replace(found, order=tuple(order), repairs=repairs)
        start = max(0, start - max(1, size // 2))


def _ask_about_all(
    model: VisionLanguageModel, scene: Scene, ask: Callable[[Scene], str], form: Form
) -> str:
    """The model's reply to one question about all candidates, worded by `ask`."""
    prompt = Prompt(parts=(*scene.show_all(model.capabilities), ask(scene)))
    return model.generate([prompt], max_tokens=form.grammar.longest + 1, form=form)[0]


def _explain(model: VisionLanguageModel, scene: Scene, place: int) -> str:
    """One sentence of the model about the candidate that won."""
    shown = scene.show_pair(place, model.capabilities)
    prompt = Prompt(parts=(*shown, words.ask_for_reason(scene, place)))
    return read_sentence(model.generate([prompt], max_tokens=SENTENCE)[0])


def _grade(margin: float) -> float:
    return HIGHEST / (1 + exp(min(-margin, 700.0)))  # exp overflows beyond 709


def _margin(row: Sequence[float]) -> float:
    """The logit of yes minus that of no, each over all its spellings."""
    half = len(row) // 2
    return _log_sum_exp(row[:half]) - _log_sum_exp(row[half:])


def _log_sum_exp(logits: Sequence[float]) -> float:
    best = max(logits)
    if best == -inf:
        return UNKNOWN
    rest = sum(exp(logit - best) for logit in logits) - 1
    return best + log1p(max(rest, 0.0))
