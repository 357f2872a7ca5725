"""Write `docs/evidence.md`: `python -m benchmarks.evidence` (takes some minutes)."""

from __future__ import annotations

from pathlib import Path

from benchmarks import completeness, fusion, hanging, parity, rerank_costs

FILE = Path(__file__).resolve().parent.parent / "docs" / "evidence.md"
PAGE = """# Evidence

Written by `python -m benchmarks.evidence`. All models in these tables are small and have random
weights: they show that the code computes what its authors' code computes and that a bad reply
cannot break an answer, not how good a released model is.

## The loaders, against the code of the models' authors

`python -m benchmarks.parity`. The fixtures in `tests/reference` are the results of the authors'
code with small random weights, in float32; "none" means equal to the last bit.

{differences}

Names and shapes of all tensors in the released files, compared with our networks at full size.
BGE-VL is not listed: its network is the CLIP of transformers, which refuses other keys.

{keys}

## Complete rankings

`python -m benchmarks.rerank --parts completeness`. Random weights, bfloat16, sampled at
temperature 1.5. Each cell has two queries: a picture with words, and words that try to break the
prompt. More than nine candidates are ranked in several windows.

{completeness}

## What a bad reranker can cost

`python -m benchmarks.rerank --parts fusion`. Mean nDCG over 200 questions about the example
catalogue with nine candidates each, fused at a weight of one half. The reranker is an oracle that
knows the truth and departs from it as each row says.

{fusion}

## What each mode costs

`python -m benchmarks.rerank --parts costs`. A random model writes its reason up to the limit,
while a trained one stops after a sentence, so the costs of modes with a reason are upper bounds.
`--size 2b` and `--device cuda` need a larger machine.

{costs}

## A model that hangs

`python -m benchmarks.rerank --parts hanging`. Whole searches in one process, SQLite and an index
in memory; the deadline is `RERANK_TIMEOUT`. The guard stops calling the model once all of its
slots hang, or after three failures in a row.

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
