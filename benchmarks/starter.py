"""Measure how well the starter embedder finds products, by the attributes of the catalogue.

    python -m benchmarks.starter [--photographs FOLDER] [--each 150] [--brief]

First: how well words find your photographs in FOLDER (see `starter_photographs`). Then every
question is asked with picture and words, with its picture alone and with its words alone, of
products with titles, with unhelpful ones (brands and other words for the same thing) and without.
The figures are nDCG@10 and precision at 5 (or at the number of right products, if there are
fewer). Below them: mean average precision of plain words ("mug", "red mug"), and how often the
first answer to "but in red" is the same kind with the same pattern in red. Unless --brief, each
weight is then halved and doubled.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.starter_photographs import average_precision, search_photographs
from benchmarks.starter_questions import RIGHT, Question, questions, unhelpful_title
from example_shop.catalogue import VIEWS, Item, draw, items
from mmsearch_app.embedders.starter.blocks import SIZES
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.inference.content import Content

Rows: TypeAlias = NDArray[np.float32]
SIDE = 320
RECOLOURED = 4.0  # the grade of the same kind and pattern in the colour asked for


def measure(scores: NDArray[np.float32], grades: NDArray[np.float64]) -> tuple[float, float]:
    """nDCG@10 and precision at 5; NaN if there is nothing to find."""
    order = np.argsort(-scores, kind="stable")
    discount = 1 / np.log2(np.arange(2, 12))
    best = (np.sort(grades)[::-1][:10] * discount).sum()
    right = grades >= RIGHT
    at = min(5, int(right.sum()))
    ndcg = (grades[order[:10]] * discount).sum() / best if best else np.nan
    precision = right[order[:at]].mean() if at else np.nan
    return ndcg, precision


def evaluate(
    asked: Sequence[Question], queries: Rows, documents: Rows, goods: Sequence[Item]
) -> dict[str, tuple[float, float]]:
    """The mean figures of each group. A product scores as high as the best of its images."""
    scores = (queries @ documents.T).reshape(len(asked), VIEWS, len(goods)).max(axis=1)
    found: dict[str, list[tuple[float, float]]] = {}
    for question, row in zip(asked, scores, strict=True):
        keep = np.arange(len(goods)) != (-1 if question.like is None else question.like)
        grades = np.array([question.grade(item) for item in goods])
        found.setdefault(question.group, []).append(measure(row[keep], grades[keep]))
    return {group: tuple(np.nanmean(rows, axis=0)) for group, rows in found.items()}


def reweigh(rows: Rows, old: StarterEmbedder, **changed: float) -> Rows:
    """The vectors that an embedder with changed block weights would give."""
    shares = old.options.shares()
    scale = [np.full(SIZES[name], (changed.get(name, w) / w) ** 0.5) for name, w in shares.items()]
    scaled = rows * np.concatenate(scale)
    return scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)


def embed(act: Callable[[Sequence[Content]], Rows], contents: Sequence[Content]) -> Rows:
    """Embed in batches, with a progress bar."""
    starts = tqdm(range(0, len(contents), 64), unit="batch", leave=False)
    return np.concatenate([act(contents[start : start + 64]) for start in starts])


GROUPS = ("red mug", "striped mug", "picture", "but in red", "a mug with this", "but striped")


def report(title: str, figures: dict[str, tuple[float, float]]) -> None:
    """Print one line: both figures of each group, and the mean nDCG."""
    cells = [
        f"{figures[group][0]:6.3f} {figures[group][1]:6.3f}" if group in figures else f"{'—':>13}"
        for group in GROUPS
    ]
    mean = np.mean([ndcg for ndcg, _ in figures.values()])
    print(f"{title:26} {'   '.join(cells)}   {mean:6.3f}", flush=True)


def head(title: str) -> None:
    print(f"\n{title:26} {'   '.join(f'{group:>13}' for group in GROUPS)}     mean")


def plainly(embedder: StarterEmbedder, documents: Rows, goods: Sequence[Item]) -> str:
    """Mean average precision of kinds, and of colours and kinds, asked for in plain words."""
    kinds = sorted({item.kind for item in goods})
    both = sorted({(item.colour, item.kind) for item in goods})
    right = [np.array([item.kind == kind for item in goods]) for kind in kinds]
    right += [np.array([(i.colour, i.kind) == pair for i in goods]) for pair in both]
    words = [*kinds, *(" ".join(pair) for pair in both)]
    queries = embed(embedder.embed_queries, [Content(text=text) for text in words])
    scores = (queries @ documents.T).reshape(len(words), VIEWS, len(goods)).max(axis=1)
    found = [average_precision(*row) for row in zip(scores, right, strict=True)]
    of_kinds, of_both = np.mean(found[: len(kinds)]), np.mean(found[len(kinds) :])
    return f"plain words: kind {of_kinds:.3f}, colour and kind {of_both:.3f}"


def variants(
    asked: Sequence[Question], queries: Rows, documents: Rows, goods: Sequence[Item]
) -> str:
    """How often the first answer to "but in red" is the same kind and pattern in red."""
    scores = (queries @ documents.T).reshape(len(asked), VIEWS, len(goods)).max(axis=1)
    first = []
    for question, row in zip(asked, scores, strict=True):
        if question.group == "but in red":
            row[question.like] = -np.inf
            first.append(question.grade(goods[int(row.argmax())]) >= RECOLOURED)
    return f"but in red: the same product's other colour comes first {np.mean(first):.3f}"


TITLES: dict[str, Callable[[Item], str | None]] = {
    "with titles": lambda item: item.title,
    "with unhelpful titles": unhelpful_title,
    "without titles": lambda item: None,
}


def compare(embedder: StarterEmbedder, *, each: int, brief: bool) -> None:
    """Print the tables about the catalogue."""
    goods = items()
    images = [
        draw(item, view=view, size=SIDE)
        for view in range(VIEWS)
        for item in tqdm(goods, leave=False)
    ]
    asked = questions(goods, each=each)
    shown = [None if q.like is None else images[q.like] for q in asked]
    ways = {
        "composed": [Content(image=i, text=q.text) for i, q in zip(shown, asked, strict=True)],
        "its picture alone": [Content(image=i) for i in shown],
        "its words alone": [Content(text=q.text) for q in asked],
    }
    if brief:
        ways = {"composed": ways["composed"]}
    queries = {way: embed(embedder.embed_queries, contents) for way, contents in ways.items()}
    for name, title in TITLES.items():
        contents = [
            Content(image=image, text=title(goods[at % len(goods)]))
            for at, image in enumerate(images)
        ]
        documents = embed(embedder.embed_documents, contents)
        head(name)
        for way, rows in queries.items():
            usable = [i for i, c in enumerate(ways[way]) if c.text or c.image]
            report(way, evaluate([asked[i] for i in usable], rows[usable], documents, goods))
        print(plainly(embedder, documents, goods))
        print(variants(asked, queries["composed"], documents, goods))
        if not brief:
            reweighed(embedder, asked, queries["composed"], documents, goods)


def reweighed(
    embedder: StarterEmbedder,
    asked: Sequence[Question],
    queries: Rows,
    documents: Rows,
    goods: Sequence[Item],
) -> None:
    """Print the figures with each block's weight halved and doubled."""
    for name, share in embedder.options.shares().items():
        for factor in (0.5, 2.0):
            changed = {name: share * factor}
            rows, found = (reweigh(x, embedder, **changed) for x in (queries, documents))
            report(f"composed, {name} × {factor}", evaluate(asked, rows, found, goods))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--each", type=int, default=150)
    parser.add_argument("--brief", action="store_true")
    options = parser.parse_args()
    embedder = StarterEmbedder()
    if options.photographs:
        search_photographs(embedder, options.photographs)
    compare(embedder, each=options.each, brief=options.brief)


if __name__ == "__main__":
    main()
