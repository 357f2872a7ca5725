"""A grade for every candidate, from 0 to 10, and one reason: the default."""

from __future__ import annotations

from typing import ClassVar

from mmsearch_app.rerankers.modes.base import Judgement, ask_about_all
from mmsearch_app.rerankers.prompts import words
from mmsearch_app.rerankers.prompts.scene import Scene
from mmsearch_app.rerankers.replies.parsing import read_grades
from mmsearch_app.rerankers.replies.schemas import grades_form
from mmsearch_app.rerankers.vlm import VisionLanguageModel

__all__ = ["Grades"]


class Grades:
    """One required grade a candidate: complete with any engine that keeps to a JSON schema."""

    name: ClassVar[str] = "grades"
    needs_logits: ClassVar[bool] = False
    captions: ClassVar[bool] = False
    collages: ClassVar[bool] = True
    graded: ClassVar[bool] = True

    def judge(self, model: VisionLanguageModel, scene: Scene, *, reason: bool) -> Judgement:
        """The reason comes with the grades, asked for or not."""
        form = grades_form(len(scene.candidates))
        reply = ask_about_all(model, scene, words.ask_for_grades, form)
        found = read_grades(reply, scene.labels)
        return Judgement(
            order=found.order, grades=found.grades, reason=found.reason, repairs=found.repairs
        )
