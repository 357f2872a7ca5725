"""What a mode is: one question to a model, and what its reply says of the candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from mmsearch_app.rerankers.prompts import words
from mmsearch_app.rerankers.prompts.scene import Scene
from mmsearch_app.rerankers.replies.parsing import clean
from mmsearch_app.rerankers.vlm import Form, Prompt, VisionLanguageModel

__all__ = ["Judgement", "Mode", "ask_about_all", "explain"]

SENTENCE = 80
"""Tokens of a sentence that is not held to a form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a model thinks of the candidates of one scene."""

    order: tuple[int, ...]
    """A permutation of the candidates' places, best first."""
    grades: tuple[float | None, ...] | None = None
    """0 to 10 by candidate, comparable between scenes of one query, None for a candidate that
    got none; None: the order alone."""
    reason: str = ""
    repairs: int = 0


class Mode(Protocol):
    """A way to ask. Holds nothing of a query; called from several threads."""

    name: ClassVar[str]
    needs_logits: ClassVar[bool]
    """Whether the model must have `capabilities.logits`."""
    captions: ClassVar[bool]
    """Whether a caption of the query picture is asked for beforehand."""
    collages: ClassVar[bool]
    """Whether all candidates are shown in one prompt, so that their number is limited."""
    graded: ClassVar[bool]
    """Whether it gives grades, by which candidates of several scenes can be compared."""

    def judge(self, model: VisionLanguageModel, scene: Scene, *, reason: bool) -> Judgement:
        """Order all candidates of the scene, whatever the model replies.

        `reason` asks for a reason where it costs extra. Raises what the model raises.
        """
        ...


def ask_about_all(
    model: VisionLanguageModel, scene: Scene, ask: Callable[..., str], form: Form
) -> str:
    """The model's reply to one question about all candidates, worded by `ask`."""
    asked = ask(
        scene.words,
        scene.titles,
        scene.labels,
        caption=scene.caption,
        pictured=scene.pictured,
        language=scene.language,
    )
    prompt = Prompt(parts=(*scene.show_all(model.capabilities), asked))
    return model.generate([prompt], max_tokens=form.grammar.longest + 1, form=form)[0]


def explain(model: VisionLanguageModel, scene: Scene, place: int) -> str:
    """One sentence of the model about the candidate that won."""
    shown = scene.show_pair(place, model.capabilities)
    asked = words.ask_for_reason(
        scene.words, scene.titles[place], pictured=scene.pictured, language=scene.language
    )
    return clean(model.generate([Prompt(parts=(*shown, asked))], max_tokens=SENTENCE)[0])
