"""Count the complete rankings, and the repairs they needed.

Each model is tiny, has random weights, computes in bfloat16 (the default), and samples at a
temperature that gives nonsense. The queries are an image with words, and words that try to break
the prompt.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.local import LocalVLM
from tests.rerankers import kit

FAMILIES = {
    "idefics3": "Idefics3",
    "gemma3": "Gemma 3",
    "phi3-vision": "Phi-3 Vision",
    "llava": "LLaVA",
}
MODES = ("grades", "listwise", "pairs", "letters")
COUNTS = (2, 5, 9, 12, 20)
ASKED = ("both", "hostile")
TEMPERATURE = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The outcome for one model, one mode and one number of candidates."""

    complete: int
    repairs: int

    def __str__(self) -> str:
        return f"{self.complete}/{len(ASKED)}"


def render() -> str:
    """A row per model and mode: complete rankings per number of candidates, and repairs."""
    counts = " | ".join(f"{count} candidates" for count in COUNTS)
    lines = [f"| model | mode | {counts} | repairs |", f"| --- | --- | {'---: | ' * 5}---: |"]
    with tempfile.TemporaryDirectory() as folder:
        for family, title in FAMILIES.items():
            place = kit.WRITERS[family](Path(folder, family))
            model = kit.load(family, place, dtype="bfloat16", temperature=TEMPERATURE)
            for mode in MODES:
                tallies = [ask(model, mode, count) for count in COUNTS]
                repairs = sum(tally.repairs for tally in tallies)
                cells = " | ".join(map(str, tallies))
                lines.append(f"| {title} | `{mode}` | {cells} | {repairs} |")
    return "\n".join(lines)


def ask(model: LocalVLM, mode: str, count: int) -> Tally:
    """Rerank for every query. A ranking is complete if it has each candidate exactly once."""
    reranker = VisionReranker(model=model, mode=mode, reason=False, caption=False)
    rankings = [reranker.rerank(kit.QUERIES[name], kit.products(count)) for name in ASKED]
    complete = sum(sorted(found.order) == list(range(count)) for found in rankings)
    return Tally(complete=complete, repairs=sum(found.repairs for found in rankings))
