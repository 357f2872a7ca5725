"""A ranked list and a reason, after a caption of the query picture: as in the original."""

from __future__ import annotations

from typing import ClassVar

from mmsearch_app.rerankers import prompts
from mmsearch_app.rerankers.forms import ranking_form
from mmsearch_app.rerankers.modes.base import Judgement
from mmsearch_app.rerankers.parsing import read_ranking
from mmsearch_app.rerankers.scene import Scene
from mmsearch_app.rerankers.vlm import Prompt, VisionLanguageModel

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
        asked = prompts.ask_for_ranking(
            scene.words,
            scene.titles,
            scene.labels,
            caption=scene.caption,
            pictured=scene.pictured,
            language=scene.language,
        )
        form = ranking_form(len(scene.candidates))
        prompt = Prompt(parts=(*scene.show_all(model.capabilities), asked))
        replies = model.generate([prompt], max_tokens=form.grammar.longest + 1, form=form)
        found = read_ranking(replies[0], scene.labels)
        return Judgement(order=found.order, reason=found.reason, repairs=found.repairs)
