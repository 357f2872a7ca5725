"""How well the starter embedder finds photographs of your own, without titles.

A folder of photographs has one folder for each kind of thing, named as visitors would search for
it; or the photographs themselves, named like `cap_red_2.jpg`: then "red cap" finds the red ones,
"cap" all of them, and a black one with "but in red" the red ones. Photographs in a folder named
"other" are only there to be not found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsearch_app.embedders.starter.colours import known_names
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.inference.content import Content

Named: TypeAlias = tuple[str, str]  # kind and colour, "" if the name has none


def average_precision(scores: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    hits = right[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(hits)[hits] / (np.flatnonzero(hits) + 1)).mean())


def read_photographs(folder: Path) -> tuple[list[Content], list[Named]]:
    """Each photograph, at most 640 pixels a side, and what its name says."""
    paths = sorted(p for p in [*folder.glob("*"), *folder.glob("*/*")] if _is_photograph(p))
    contents = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        image.thumbnail((640, 640))
        contents.append(Content(image=image))
    return contents, [read_name(p.stem if p.parent == folder else p.parent.name) for p in paths]


def _is_photograph(path: Path) -> bool:
    return path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}


def read_name(name: str) -> Named:
    """Return kind and colour: "cap_red_2" is a cap in red, "wall clock" has no colour."""
    words = [word for word in re.split(r"[ _]+", name.lower()) if not word.isdigit()]
    colours = [word for word in words if word in known_names()]
    return " ".join(word for word in words if word not in colours), " ".join(colours)


def search_photographs(embedder: StarterEmbedder, folder: Path) -> None:
    """Print how well each name finds its photographs, and each picture its other colours."""
    contents, named = read_photographs(folder)
    documents = embedder.embed_documents(contents)
    kinds = {(kind, "") for kind, _ in named if kind != "other"}
    asked = sorted(kinds | {name for name in named if name[1]})
    texts = [f"{colour} {kind}".strip() for kind, colour in asked]
    queries = embedder.embed_queries([Content(text=text) for text in texts])
    found = []
    for (kind, colour), text, row in zip(asked, texts, queries @ documents.T, strict=True):
        right = np.array([n[0] == kind and colour in (n[1], "") for n in named])
        found.append(average_precision(row, right))
        print(f"  {text:24} {right.sum():2d} photographs {found[-1]:.3f}")
    print(f"photographs by name: mean average precision {np.mean(found):.3f} of {len(named)}")
    recolour(embedder, contents, named, documents)


def recolour(
    embedder: StarterEmbedder,
    contents: Sequence[Content],
    named: Sequence[Named],
    documents: NDArray[np.float32],
) -> None:
    """Print how often a picture and "but in red" finds the same kind in red first."""
    asked = [
        (at, colour)
        for at, (kind, own) in enumerate(named)
        for colour in sorted({c for k, c in named if k == kind and c and own} - {own})
    ]
    if not asked:
        return
    wishes = [Content(image=contents[at].image, text=f"but in {colour}") for at, colour in asked]
    scores = embedder.embed_queries(wishes) @ documents.T
    first = []
    for (at, colour), row in zip(asked, scores, strict=True):
        row[at] = -np.inf
        first.append(named[int(row.argmax())] == (named[at][0], colour))
    print(f"photographs in another colour: right first {np.mean(first):.3f} of {len(first)}")
