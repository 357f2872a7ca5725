"""Ways to ask a model for an order, one a module."""

from __future__ import annotations

from collections.abc import Mapping

from mmsearch_app.rerankers.modes.base import Judgement, Mode
from mmsearch_app.rerankers.modes.grades import Grades
from mmsearch_app.rerankers.modes.letters import Letters
from mmsearch_app.rerankers.modes.listwise import Listwise
from mmsearch_app.rerankers.modes.pairs import Pairs, TrainedPairs

__all__ = ["MODES", "Grades", "Judgement", "Letters", "Listwise", "Mode", "Pairs", "TrainedPairs"]

MODES: Mapping[str, type[Mode]] = {
    "grades": Grades,
    "letters": Letters,
    "listwise": Listwise,
    "pairs": Pairs,
    "trained-pairs": TrainedPairs,
}
"""By the name that a setting has for it."""
