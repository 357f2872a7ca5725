"""A vision-language model as a reranker: the class that a setting names."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import get_language, get_language_info

from mmsearch_app.inference import Content, ModelFailed, require_at_least
from mmsearch_app.rerankers.base import Ranking
from mmsearch_app.rerankers.fusion import measure_agreement, order_by
from mmsearch_app.rerankers.models import build_model, find_vlm_preset, look_up
from mmsearch_app.rerankers.modes import MODES, SENTENCE, Mode, judge_in_windows
from mmsearch_app.rerankers.prompts import words
from mmsearch_app.rerankers.prompts.collage import LAYOUTS, Layout
from mmsearch_app.rerankers.prompts.scene import Scene
from mmsearch_app.rerankers.replies.parsing import Judgement, read_sentence
from mmsearch_app.rerankers.replies.schemas import LABELS
from mmsearch_app.rerankers.vlm import Prompt, VisionLanguageModel


class VisionReranker:
    """Asks a model for an order of all candidates; the order is complete whatever it replies.

    `preset` is a key of `VLM_PRESETS`. `model` says which model: None (the preset's, in this
    process), a name of the hub, `{"BACKEND": dotted path, "OPTIONS": {…}}`, or an object (see
    `vlm.VisionLanguageModel`). Other `options` belong to a model in this process (`LocalVLM`).
    The preset fills in what a backend takes and the options leave out.

    `mode` is a key of `MODES`. `window` is how many candidates one prompt shows at most, by
    default as many as the layout suggests; more candidates take several prompts. `caption` asks
    for a caption of the query image first; None leaves that to the mode. `reason` asks for a
    reason even if it takes another call. `language`, such as "German", is that of reason and
    caption: None takes the visitor's, "" leaves it to the model. `layout` is a key of `LAYOUTS`.
    `rounds` asks that many times, the candidates shuffled, and reports the agreement. If no
    candidate has at least the grade `good` (0 to 10), there is no good match, provided that at
    least half of the candidates got a grade.

    Raises ValueError for a wrong option, TypeError for an unknown one.
    """

    def __init__(
        self,
        *,
        preset: str = "",
        model: VisionLanguageModel | Mapping[str, Any] | str | None = None,
        mode: str | None = None,
        window: int | None = None,
        caption: bool | None = None,
        reason: bool = True,
        language: str | None = None,
        layout: str | None = None,
        rounds: int = 1,
        good: float | None = None,
        **options: Any,
    ) -> None:
        known = find_vlm_preset(preset)
        self.model = build_model(model, preset, options)
        self.mode: Mode = look_up("mode", mode or known.mode, MODES)()
        self.layout: Layout = look_up("layout", layout, LAYOUTS) if layout else known.layout
        self.caption = self.mode.captions if caption is None else caption
        self.reason = reason
        self.language = language
        self.rounds = rounds
        self.good = good
        self.window = self.layout.window if window is None else window
        self._check()

    @property
    def fingerprint(self) -> str:
        """Model, mode, prompts and every option that changes a reply."""
        options = [self.caption, self.reason, self.language, self.rounds, self.good, self.window]
        asked = [self.mode.name, words.VERSION, self.layout.name, *options]
        digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:8]
        return f"{self.model.fingerprint}/{self.mode.name}-{words.VERSION}/{digest}"

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        """Order all candidates. Raises what the model raises, usually ModelFailed."""
        if not candidates:
            return Ranking(order=())
        self._require_logits()
        language = _active_language() if self.language is None else self.language
        scene = Scene(
            query=query,
            candidates=tuple(candidates),
            layout=self.layout,
            caption=self._describe(query, language),
            language=language,
        )
        if len(candidates) == 1 and not self.mode.graded:
            return Ranking(order=(0,), caption=scene.caption)
        return self._conclude(scene, [self._ask(scene, number) for number in range(self.rounds)])

    def warm_up(self) -> None:
        """Load or connect, and answer once. Raises what the model raises."""
        self.model.warm_up()
        self._require_logits()

    def _describe(self, query: Content, language: str) -> str:
        if not self.caption or query.image is None:
            return ""
        prompt = Prompt(parts=(query.image, words.ask_for_caption(language=language)))
        return read_sentence(self.model.generate([prompt], max_tokens=SENTENCE)[0])

    def _ask(self, scene: Scene, number: int) -> Judgement:
        """The judgement of one round, by the places in the scene. Round 0 is not shuffled."""
        shuffled = list(range(len(scene.candidates)))
        if number:
            random.Random(number).shuffle(shuffled)  # noqa: S311 - the same each time: cacheable
        found = judge_in_windows(
            self.mode,
            self.model,
            scene.of(shuffled),
            size=self.window,
            reason=self.reason and number == 0,
        )
        grades = None
        if found.grades is not None:
            back = sorted(range(len(shuffled)), key=lambda shown: shuffled[shown])
            grades = tuple(found.grades[shown] for shown in back)
        order = tuple(shuffled[shown] for shown in found.order)
        return replace(found, order=order, grades=grades)

    def _conclude(self, scene: Scene, rounds: Sequence[Judgement]) -> Ranking:
        places = range(len(scene.candidates))
        given = [judgement.grades for judgement in rounds if judgement.grades is not None]
        grades = tuple(_mean([row[place] for row in given]) for place in places)
        order = rounds[0].order if len(rounds) == 1 else _combine(rounds, grades)
        known = [grade for grade in grades if grade is not None]
        return Ranking(
            order=order,
            grades=tuple(grade or 0.0 for grade in grades) if known else None,
            reason=_reason_for(order[0], rounds),
            caption=scene.caption,
            repairs=sum(judgement.repairs for judgement in rounds),
            agreement=_agree(rounds) if len(rounds) > 1 else None,
            no_good_match=self.good is not None
            and len(known) * 2 >= len(places)
            and max(known) < self.good,
        )

    def _require_logits(self) -> None:
        if self.mode.needs_logits and not self.model.capabilities.logits:
            msg = (
                f"Mode {self.mode.name!r} reads logits, which this model does not give: "
                "take mode 'grades'."
            )
            raise ModelFailed(msg)

    def _check(self) -> None:
        most = min(self.layout.capacity, len(LABELS)) if self.mode.collages else len(LABELS)
        if not 2 <= self.window <= most:
            msg = (
                f"window must be from 2 to {most} with layout {self.layout.name!r}, "
                f"not {self.window}."
            )
            raise ValueError(msg)
        require_at_least(1, rounds=self.rounds)
        if self.good is not None and not self.mode.graded:
            msg = f"good needs grades, which mode {self.mode.name!r} does not give."
            raise ValueError(msg)


def _active_language() -> str:
    """The English name of Django's active language; "" if there is none."""
    try:
        return str(get_language_info(get_language() or "")["name"])
    except (KeyError, ImproperlyConfigured):
        return ""


def _mean(grades: Sequence[float | None]) -> float | None:
    known = [grade for grade in grades if grade is not None]
    return fmean(known) if known else None


def _combine(rounds: Sequence[Judgement], grades: Sequence[float | None]) -> tuple[int, ...]:
    """Order by mean grade, or by mean rank (Borda count); ties keep the index's order."""
    if any(judgement.grades for judgement in rounds):
        return order_by(grades)
    ranks = [_ranks(judgement) for judgement in rounds]
    return order_by([fmean(row[place] for row in ranks) for place in range(len(ranks[0]))])


def _agree(rounds: Sequence[Judgement]) -> float:
    return measure_agreement([judgement.grades or _ranks(judgement) for judgement in rounds])


def _ranks(judgement: Judgement) -> list[float]:
    """By candidate: 0 for the best, -1 for the second, …"""
    order = judgement.order
    return [-float(order.index(place)) for place in range(len(order))]


def _reason_for(winner: int, rounds: Sequence[Judgement]) -> str:
    """The reason of a round with the same winner: a reason for another one would mislead."""
    fitting = (found.reason for found in rounds if found.order[0] == winner and found.reason)
    return next(fitting, "")
