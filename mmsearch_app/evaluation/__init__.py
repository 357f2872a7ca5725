"""How good is the search? Standard measures over judged questions."""

from mmsearch_app.evaluation.questions import Judged
from mmsearch_app.evaluation.report import evaluate
