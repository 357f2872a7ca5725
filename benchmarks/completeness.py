"""How many of all rankings come back complete, and how many repairs that took.

Each model is tiny and has random weights, computes in bfloat16 as by default, and samples at a
temperature at which it says nothing sensible. It is asked about a picture with words, and about
words that try to break the prompt.
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
    """Of one model in one mode about so many candidates."""

    complete: int
    repairs: int

    def __str__(self) -> str:
        return f"{self.complete}/{len(ASKED)}"


def render() -> str:
    """A row for each model and mode: complete rankings of those asked for, by candidates."""
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
    """Complete is what has every candidate exactly once, whatever it took."""
    reranker = VisionReranker(model=model, mode=mode, reason=False, caption=False)
    rankings = [reranker.rerank(kit.QUERIES[name], kit.products(count)) for name in ASKED]
    complete = sum(sorted(found.order) == list(range(count)) for found in rankings)
    return Tally(complete=complete, repairs=sum(found.repairs for found in rankings))
