"""Measure how well the starter embedder finds products, by the attributes of the catalogue.

    python -m benchmarks.starter [--photographs FOLDER] [--each 150]

Every question is asked with picture and words, with its picture alone and with its words alone,
of products with and without titles. The figures are nDCG@10 and precision at 5 (or at the number
of right products, if there are fewer). Then each weight is halved and doubled. FOLDER has one
folder of photographs for each kind of thing, named as visitors would search for it. These are
searched by that name, without titles; the figure is mean average precision.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from benchmarks.starter_questions import RIGHT, Question, questions
from example_shop.catalogue import VIEWS, Item, draw, items
from mmsearch_app.embedders.starter.blocks import SIZES
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.inference.content import Content

Rows: TypeAlias = NDArray[np.float32]
SIDE = 320


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
    weights = asdict(old.options)
    scale = [
        np.full(size, (changed.get(name, weights[name]) / weights[name]) ** 0.5)
        for name, size in SIZES.items()
    ]
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


def read_photographs(folder: Path) -> tuple[list[Content], NDArray[np.str_]]:
    """Each photograph and the name of its folder."""
    paths = sorted(path for path in folder.glob("*/*") if path.is_file())
    contents = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        image.thumbnail((640, 640))
        contents.append(Content(image=image))
    return contents, np.array([path.parent.name for path in paths])


def photographs(embedder: StarterEmbedder, folder: Path) -> None:
    """Print how well photographs are found by the names of their folders, except "other"."""
    contents, names = read_photographs(folder)
    documents = embed(embedder.embed_documents, contents)
    asked = sorted(set(names) - {"other"})
    queries = embed(embedder.embed_queries, [Content(text=name) for name in asked])
    found = []
    print()
    for name, row in zip(asked, queries @ documents.T, strict=True):
        hits = names[np.argsort(-row)] == name
        precision = (np.cumsum(hits)[hits] / (np.flatnonzero(hits) + 1)).mean()
        found.append(precision)
        print(f"  {name:20} {hits.sum():2d} photographs, first right: {hits[0]}, {precision:.3f}")
    print(f"photographs by name: mean average precision {np.mean(found):.3f} of {len(names)}")
    alike = documents @ documents.T - 2 * np.eye(len(documents))
    hits = names[alike.argmax(axis=1)] == names
    several = np.array([(names == name).sum() > 1 and name != "other" for name in names])
    print(f"photographs by picture: the nearest is of the same kind, {hits[several].mean():.3f}")


def compare(embedder: StarterEmbedder, *, each: int) -> None:
    """Print the tables about the catalogue."""
    goods = items()
    pictures = [
        draw(item, view=view, size=SIDE)
        for view in range(VIEWS)
        for item in tqdm(goods, leave=False)
    ]
    asked = questions(goods, each=each)
    shown = [None if q.like is None else pictures[q.like] for q in asked]
    ways = {
        "composed": [Content(image=i, text=q.text) for i, q in zip(shown, asked, strict=True)],
        "its picture alone": [Content(image=i) for i in shown],
        "its words alone": [Content(text=q.text) for q in asked],
    }
    queries = {way: embed(embedder.embed_queries, contents) for way, contents in ways.items()}
    for titles in (True, False):
        contents = [
            Content(image=picture, text=goods[at % len(goods)].title if titles else None)
            for at, picture in enumerate(pictures)
        ]
        documents = embed(embedder.embed_documents, contents)
        head(f"{'with' if titles else 'without'} titles")
        for way, rows in queries.items():
            usable = [i for i, c in enumerate(ways[way]) if c.text or c.image]
            report(way, evaluate([asked[i] for i in usable], rows[usable], documents, goods))
        for name in SIZES:
            for factor in (0.5, 2.0):
                changed = {name: getattr(embedder.options, name) * factor}
                rows, found = (
                    reweigh(x, embedder, **changed) for x in (queries["composed"], documents)
                )
                report(f"composed, {name} × {factor}", evaluate(asked, rows, found, goods))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--each", type=int, default=150)
    options = parser.parse_args()
    embedder = StarterEmbedder()
    compare(embedder, each=options.each)
    if options.photographs:
        photographs(embedder, options.photographs)


if __name__ == "__main__":
    main()
