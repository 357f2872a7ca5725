"""One look: the order of how much the model wants to begin its answer with each label."""

from __future__ import annotations

from typing import ClassVar

from mmsearch_app.rerankers.modes.base import Judgement, explain
from mmsearch_app.rerankers.prompts import words
from mmsearch_app.rerankers.prompts.scene import Scene
from mmsearch_app.rerankers.vlm import Prompt, VisionLanguageModel

__all__ = ["Letters"]


class Letters:
    """FIRST (Reddy et al., arXiv 2406.15657): one forward pass, nothing is generated."""

    name: ClassVar[str] = "letters"
    needs_logits: ClassVar[bool] = True
    captions: ClassVar[bool] = False
    collages: ClassVar[bool] = True
    graded: ClassVar[bool] = False

    def judge(self, model: VisionLanguageModel, scene: Scene, *, reason: bool) -> Judgement:
        """A label that the model does not report counts as one repair and goes behind."""
        asked = words.ask_for_letter(
            scene.words,
            scene.titles,
            scene.labels,
            caption=scene.caption,
            pictured=scene.pictured,
        )
        prompt = Prompt(parts=(*scene.show_all(model.capabilities), asked))
        scores = model.score([prompt], list(scene.labels))[0]
        known = [place for place, score in enumerate(scores) if score > float("-inf")]
        others = [place for place in range(len(scores)) if place not in known]
        order = (*sorted(known, key=lambda place: (-scores[place], place)), *others)
        why = explain(model, scene, order[0]) if reason else ""
        return Judgement(order=order, reason=why, repairs=len(others))
