"""How good the example shop's own vision-language model is: `python -m benchmarks.llvm`.

    python -m benchmarks.llvm [--model FOLDER] [--each 30] [--modes grades pairs letters]
        [--shuffled 20] [--seen]

Questions about products whose kind, colour and pattern were held out from training, in every form
(those marked * were held out as well). The starter embedder finds nine candidates, without titles;
the model orders them, and both orders are fused as a shop would by default. The figures are
nDCG@9 by the catalogue's attributes; "gain" is that of the fused order over the index's with its
95 % interval (bootstrap over questions), "better" and "worse" count the first hit's grade. Then:
completeness and repairs, Kendall's tau of three rounds with the candidates shuffled, and how often
caption and reason are true. With --seen, the questions are about the other triples.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from example_shop.catalogue import VIEWS, draw, items
from example_shop.llvm.looks import Look, held_out
from example_shop.llvm.wishes import (
    COMPOSED,
    FORMS,
    HELD_OUT_FORMS,
    Question,
    is_true,
    name_look,
    read_look,
)
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.inference import Content
from mmsearch_app.rerankers.base import Ranking
from mmsearch_app.rerankers.fusion import fuse
from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.local import LocalVLM

SHOWN = 9
SIDE = 320
WEIGHT = 0.5
TRIES = 400
"""Draws in which a question must be found that a product of the catalogue answers fully."""
RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """The catalogue's pictures in an index."""

    looks: tuple[Look, ...]
    images: tuple[tuple[Image.Image, ...], ...]
    """Each product's views."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question, the products that the index found, best first, and how well each answers."""

    question: Question
    query: Content
    found: tuple[int, ...]
    candidates: tuple[Content, ...]
    grades: tuple[int, ...]
    ideal: float
    """The best gain that the catalogue allows."""

    def ndcg(self, order: Sequence[int]) -> float:
        return _gain([self.grades[place] for place in order]) / self.ideal

    @property
    def oracle(self) -> list[int]:
        """The best order of the candidates."""
        return sorted(range(len(self.grades)), key=lambda place: -self.grades[place])


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the model made of a case."""

    case: Case
    ranking: Ranking

    @property
    def fused(self) -> tuple[int, ...]:
        return fuse(self.ranking.order, weight=WEIGHT)


def _gain(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(place + 2) for place, grade in enumerate(grades[:SHOWN]))


def collect() -> Goods:
    goods = items()
    looks = [Look(kind=i.kind, colour=i.colour, accent=i.accent, pattern=i.pattern) for i in goods]
    images = [
        tuple(draw(item, view=view, size=SIDE) for view in range(VIEWS))
        for item in tqdm(goods, desc="drawing", leave=False)
    ]
    return Goods(looks=tuple(looks), images=tuple(images))


def pose(goods: Goods, *, each: int, seen: bool, seed: int = 21) -> list[tuple[int, Question]]:
    """Up to `each` questions of every form that a product answers fully."""
    chance = random.Random(seed)
    asked = []
    for form in FORMS:
        shown = [n for n, look in enumerate(goods.looks) if (look.triple in held_out()) != seen]
        found: dict[tuple[int, str], Question] = {}
        for _ in range(TRIES):
            number = chance.choice(shown)
            question = FORMS[form](goods.looks[number], chance)
            answers = [n for n in range(len(goods.looks)) if n != number]
            if max(question.wish.grade(goods.looks[n]) for n in answers) == 10:
                found.setdefault((number, question.words), question)
            if len(found) == each:
                break
        asked += [(number, question) for (number, _), question in found.items()]
    return asked


def retrieve(goods: Goods, asked: Sequence[tuple[int, Question]]) -> list[Case]:
    """Let the starter embedder find nine candidates for every question."""
    embedder = StarterEmbedder()
    every = [Content(image=image) for views in goods.images for image in views]
    starts = tqdm(range(0, len(every), 64), desc="embedding", leave=False)
    documents = np.concatenate([embedder.embed_documents(every[s : s + 64]) for s in starts])
    queries = [_write(goods, number, question) for number, question in asked]
    vectors = np.concatenate([embedder.embed_queries([query]) for query in queries])
    scores = (vectors @ documents.T).reshape(len(asked), len(goods.looks), VIEWS)
    return [
        _case(goods, number, question, query, row)
        for (number, question), query, row in zip(asked, queries, scores, strict=True)
    ]


def _write(goods: Goods, number: int, question: Question) -> Content:
    image = None if question.shown is None else goods.images[number][0]
    return Content(image=image, text=question.words or None)


def _case(
    goods: Goods, number: int, question: Question, query: Content, scores: np.ndarray
) -> Case:
    best = scores.max(axis=1)
    if question.shown is not None:
        best[number] = -np.inf  # the reference itself is never an answer
    found = tuple(int(n) for n in np.argsort(-best, kind="stable")[:SHOWN])
    grades = [question.wish.grade(look) for look in goods.looks]
    others = [g for n, g in enumerate(grades) if n != number or question.shown is None]
    return Case(
        question=question,
        query=query,
        found=found,
        candidates=tuple(Content(image=goods.images[n][int(scores[n].argmax())]) for n in found),
        grades=tuple(grades[n] for n in found),
        ideal=_gain(sorted(others, reverse=True)),
    )


def load(folder: Path) -> LocalVLM:
    return LocalVLM(
        path=folder, dtype="float32", device="cpu", max_images=SHOWN + 1, batch_size=SHOWN
    )


def judge(model: LocalVLM, mode: str, cases: Sequence[Case]) -> list[Outcome]:
    reranker = VisionReranker(model=model, mode=mode, caption=True, language="")
    return [
        Outcome(case=case, ranking=reranker.rerank(case.query, case.candidates))
        for case in tqdm(cases, desc=mode, leave=False)
    ]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean with its 95 % interval."""
    chance = np.random.default_rng(5)
    rows = np.array(values)
    means = rows[chance.integers(len(rows), size=(RESAMPLES, len(rows)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(rows.mean()), float(low), float(high)


def render(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """One line per form, and of all composed ones."""
    yield "| form | questions | index | model | fused | oracle | gain | better | worse |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for form in FORMS:
        mark = " *" if form in HELD_OUT_FORMS else ""
        yield _line(form + mark, [o for o in outcomes if o.case.question.form == form])
    composed = [o for o in outcomes if o.case.question.form in COMPOSED]
    yield _line("**all composed**", composed)
    yield _line("**everything**", outcomes)


def _line(name: str, outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return f"| {name} | 0 | | | | | | | |"
    orders: list[Callable[[Outcome], Sequence[int]]] = [
        lambda o: range(len(o.case.grades)),
        lambda o: o.ranking.order,
        lambda o: o.fused,
        lambda o: o.case.oracle,
    ]
    rows = np.array([[o.case.ndcg(order(o)) for order in orders] for o in outcomes])
    gain, low, high = interval(list(rows[:, 2] - rows[:, 0]))
    first = [o.case.grades[o.fused[0]] - o.case.grades[0] for o in outcomes]
    better, worse = sum(d > 0 for d in first), sum(d < 0 for d in first)
    figures = " | ".join(f"{figure:.3f}" for figure in rows.mean(axis=0))
    interval_ = f"{gain:+.3f} ({low:+.3f} to {high:+.3f})"
    return f"| {name} | {len(outcomes)} | {figures} | {interval_} | {better} | {worse} |"


def describe(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Completeness, captions and reasons."""
    complete = np.mean(
        [sorted(o.ranking.order) == list(range(len(o.case.found))) for o in outcomes]
    )
    repairs = sum(o.ranking.repairs for o in outcomes)
    yield f"complete {complete:.3f}, {repairs} repairs in {len(outcomes)} rankings"
    shown = [o for o in outcomes if o.case.question.shown is not None]
    named = [(read_look(o.ranking.caption), o.case.question.shown) for o in shown]
    wanted = [(said, look) for said, look in named if look is not None]
    kind, colour, pattern = np.mean(
        [[a == b for a, b in zip(said, look.triple, strict=True)] for said, look in wanted], axis=0
    )
    whole = np.mean(
        [o.ranking.caption == name_look(look) for o, (_, look) in zip(shown, wanted, strict=True)]
    )
    yield f"caption: kind {kind:.3f}, colour {colour:.3f}, pattern {pattern:.3f}, all {whole:.3f}"


def reasons(outcomes: Sequence[Outcome], goods: Goods) -> str:
    """How often the reason is true of the product that the model puts first."""
    true, named = [], []
    for o in outcomes:
        winner = goods.looks[o.case.found[o.ranking.order[0]]]
        true.append(is_true(o.ranking.reason, o.case.question.wish, winner))
        named.append(read_look(o.ranking.reason) == winner.triple)
    mean, low, high = interval(true)
    share = np.mean(named)
    return f"reason true {mean:.3f} ({low:.3f} to {high:.3f}); names the look rightly {share:.3f}"


def shuffle(model: LocalVLM, mode: str, cases: Sequence[Case]) -> str:
    """Kendall's tau between orders of the same candidates in three sequences."""
    reranker = VisionReranker(
        model=model, mode=mode, caption=True, language="", rounds=3, reason=False
    )
    found = [reranker.rerank(case.query, case.candidates).agreement for case in cases]
    mean, low, high = interval([tau for tau in found if tau is not None])
    return f"Kendall's tau {mean:.3f} ({low:.3f} to {high:.3f}) in {len(cases)} questions"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("example_shop/llvm/weights"))
    parser.add_argument("--each", type=int, default=30)
    parser.add_argument("--modes", nargs="+", default=["grades", "pairs", "letters"])
    parser.add_argument("--shuffled", type=int, default=20)
    parser.add_argument("--seen", action="store_true")
    asked = parser.parse_args()
    goods = collect()
    cases = retrieve(goods, pose(goods, each=asked.each, seen=asked.seen))
    model = load(asked.model)
    composed = [case for case in cases if case.question.form in COMPOSED]
    sample = random.Random(3).sample(composed, min(asked.shuffled, len(composed)))
    for mode in asked.modes:
        outcomes = judge(model, mode, cases)
        print(f"\n{mode}\n", *render(outcomes), "", sep="\n")
        print(*describe(outcomes), reasons(outcomes, goods), sep="\n")
        if sample:
            print(shuffle(model, mode, sample), flush=True)


if __name__ == "__main__":
    main()
