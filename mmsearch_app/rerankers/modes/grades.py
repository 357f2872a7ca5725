"""A grade for every candidate, from 0 to 10, and one reason: the default."""

from __future__ import annotations

from typing import ClassVar

from mmsearch_app.rerankers import prompts
from mmsearch_app.rerankers.forms import grades_form
from mmsearch_app.rerankers.modes.base import Judgement
from mmsearch_app.rerankers.parsing import read_grades
from mmsearch_app.rerankers.scene import Scene
from mmsearch_app.rerankers.vlm import Prompt, VisionLanguageModel

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
        asked = prompts.ask_for_grades(
            scene.words,
            scene.titles,
            scene.labels,
            caption=scene.caption,
            pictured=scene.pictured,
            language=scene.language,
        )
        form = grades_form(len(scene.candidates))
        prompt = Prompt(parts=(*scene.show_all(model.capabilities), asked))
        replies = model.generate([prompt], max_tokens=form.grammar.longest + 1, form=form)
        found = read_grades(replies[0], scene.labels)
        return Judgement(
            order=found.order, grades=found.grades, reason=found.reason, repairs=found.repairs
        )
