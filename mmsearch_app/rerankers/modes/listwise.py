"""A ranked list and a reason, after a caption of the query picture: as in the original."""

from __future__ import annotations

from typing import ClassVar

from mmsearch_app.rerankers.modes.base import Judgement, ask_about_all
from mmsearch_app.rerankers.prompts import words
from mmsearch_app.rerankers.prompts.scene import Scene
from mmsearch_app.rerankers.replies.parsing import read_ranking
from mmsearch_app.rerankers.replies.schemas import ranking_form
from mmsearch_app.rerankers.vlm import VisionLanguageModel

__all__ = ["Listwise"]


class Listwise:
    """One list of all candidates. For models that are trained for it: an untrained one may rank
    far worse than the index, and half a weight in the fusion is enough for it."""

    name: ClassVar[str] = "listwise"
    needs_logits: ClassVar[bool] = False
    captions: ClassVar[bool] = True
    collages: ClassVar[bool] = True
    graded: ClassVar[bool] = False

    def judge(self, model: VisionLanguageModel, scene: Scene, *, reason: bool) -> Judgement:
        """The reason comes with the list, asked for or not."""
        form = ranking_form(len(scene.candidates))
        reply = ask_about_all(model, scene, words.ask_for_ranking, form)
        found = read_ranking(reply, scene.labels)
        return Judgement(order=found.order, reason=found.reason, repairs=found.repairs)
