"""More candidates than one prompt takes."""

from __future__ import annotations

from mmsearch_app.rerankers.fusion import order_by
from mmsearch_app.rerankers.modes.base import Judgement, Mode
from mmsearch_app.rerankers.prompts.scene import Scene
from mmsearch_app.rerankers.vlm import VisionLanguageModel

__all__ = ["judge_in_windows"]


def judge_in_windows(
    mode: Mode, model: VisionLanguageModel, scene: Scene, *, size: int, reason: bool
) -> Judgement:
    """A judgement of all candidates, of which a prompt shows at most `size`, at least 2.

    Modes with grades are asked about one window after the other and the grades compared. The
    others slide a window from the last candidates to the first, half a window at a time, so
    that a good one can rise to the top (RankGPT, Sun et al., arXiv 2304.09542).
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
    for window in range(windows):  # of like size: 20 in threes are 7, 7, 6
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
    start, repairs, why = len(order) - size, 0, ""
    while True:
        seen = order[start : start + size]
        found = mode.judge(model, scene.of(seen), reason=reason and start == 0)
        order[start : start + size] = [seen[place] for place in found.order]
        repairs += found.repairs
        why = found.reason
        if start == 0:
            return Judgement(order=tuple(order), reason=why, repairs=repairs)
        start = max(0, start - max(1, size // 2))
