"""How good is the search? Standard measures over judged questions."""

from mmsearch_app.evaluation.measure import Judged, evaluate

__all__ = [
    "Judged",
    "evaluate",
]
