"""Writes `docs/evidence.md`: python -m benchmarks.evidence (some minutes)."""

from __future__ import annotations

from pathlib import Path

from benchmarks import completeness, fusion, hanging, parity, rerank_costs

FILE = Path(__file__).resolve().parent.parent / "docs" / "evidence.md"
PAGE = """# Evidence

Written by `python -m benchmarks.evidence`. All models in these tables are small and have random
weights: they show that the code computes what its authors' code computes and that a reply cannot
break an answer, not how good a released model is.

## The loaders, against the code of the models' authors

`python -m benchmarks.parity`. The fixtures in `tests/reference` hold what the authors' code made
of small random weights, in float32; "none" means equal to the last bit.

{differences}

Names and shapes of all tensors in the released files, against those of our networks at full size.
BGE-VL is not among them: its network is the CLIP of transformers, which refuses other keys.

{keys}

## Complete rankings of those asked for

`python -m benchmarks.rerank --parts completeness`. Random weights, bfloat16, sampled at
temperature 1.5; each cell is asked about a picture with words, and about words that try to break
the prompt. More than nine candidates are asked about in several windows.

{completeness}

## What a bad reranker can cost

`python -m benchmarks.rerank --parts fusion`. Mean nDCG over 200 questions about the example
catalogue with nine candidates each, fused at a weight of one half; the reranker is an oracle that
departs from the truth as told.

{fusion}

## What each way of asking costs

`python -m benchmarks.rerank --parts costs`. A random model fills its reason to the limit, where a
trained one stops after a sentence: what writes a reason is an upper bound. `--size 2b` and
`--device cuda` are for a machine that can.

{costs}

## A model that hangs

`python -m benchmarks.rerank --parts hanging`. Whole searches in one process, SQLite and an index
in memory; the deadline is `RERANK_TIMEOUT`. The guard leaves the model alone once it hangs in all
of its places or failed three times in a row.

{hanging}
"""


def main() -> None:
    page = PAGE.format(
        differences=parity.render_differences(parity.compare()),
        keys=parity.render_keys(parity.match()),
        completeness=completeness.render(),
        fusion=fusion.render(),
        hanging=hanging.render(),
        costs=rerank_costs.render(),
    )
    FILE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
