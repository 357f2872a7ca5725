"""Compare the starter embedder's networks with those of their authors' packages, in torch.

    python -m benchmarks.starter_engine [--pictures 200] [--texts 200] [--photographs FOLDER]
        [--batches 1 2 16 32] [--rounds 3] [--threads 2]

First the results: the lowest cosine of every output, and of whole vectors, over drawn products,
the photographs in FOLDER, and titles. Then the speed: seconds a picture of the bare forward pass in
torch and in ONNX Runtime, which alternate; the ratio is that of each round by CPU time, its median
with the lowest and highest. Last the overhead: the bare forward pass of one square a picture, and
the same squares plus the second ones of oblong pictures, beside `embed_documents`, in one run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from example_shop.catalogue import draw, items
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.embedders.starter.foreground import find_object, frame_object
from mmsearch_app.inference import Content
from tests.embedders.starter import published


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 2, 16, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    embedder = StarterEmbedder(threads=options.threads)
    embedder.warm_up()
    pictures = collect(options.pictures, options.photographs)
    texts = list(dict.fromkeys(item.title for item in items()))[: options.texts]
    compare(embedder, pictures, texts)
    for batch in options.batches:
        time_forward(embedder, pictures[:batch], rounds=options.rounds)
    time_overhead(embedder, pictures[:64], rounds=options.rounds)


def collect(count: int, folder: Path | None) -> list[Image.Image]:
    """Return all photographs in the folder, and drawn products up to `count`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file()) if folder else []
    photographs = []
    for path in paths:
        if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}:
            image = Image.open(path).convert("RGB")
            image.thumbnail((1024, 1024))
            photographs.append(image)
    goods = items()[: max(0, count - len(photographs))]
    return photographs + [draw(item, view=0, size=320) for item in goods]


def compare(
    embedder: StarterEmbedder, pictures: Sequence[Image.Image], texts: Sequence[str]
) -> None:
    """Print the lowest cosines of all outputs of both networks, and of whole vectors."""
    assert embedder._models is not None
    vision, sentences = embedder._models.vision, embedder._models.sentences
    classify, embed = published.load_classifier(), published.load_sentence_encoder()
    contents = [Content(image=image) for image in pictures]
    ours = embedder.embed_documents(contents)

    def as_published(views: Sequence[Image.Image]) -> list[NDArray[np.float32]]:
        return list(classify(np.stack([np.asarray(view) for view in views])))

    with patch.object(vision, "classify", as_published):
        print_cosine(
            f"vectors of {len(pictures)} pictures", ours, embedder.embed_documents(contents)
        )
    views = [image.resize((224, 224)) for image in pictures]
    starts = range(0, len(views), 8)
    found = [vision.classify(views[start : start + 8]) for start in starts]
    expected = [as_published(views[start : start + 8]) for start in starts]
    for at, name in enumerate(("logits", "shapes", "textures")):
        pair = [np.concatenate([rows[at] for rows in side]) for side in (found, expected)]
        print_cosine(name, *pair)
    print_cosine(f"meanings of {len(texts)} texts", sentences.embed(texts), embed(texts))


def print_cosine(name: str, found: NDArray[Any], expected: NDArray[Any]) -> None:
    rows, others = (x.reshape(len(x), -1).astype(np.float64) for x in (found, expected))
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(others, axis=1)
    cosines = (rows * others).sum(axis=1) / lengths
    gap = np.abs(rows - others).max()
    print(f"{name:32} lowest cosine {cosines.min():.7f}, largest difference {gap:.1e}", flush=True)


def time_forward(
    embedder: StarterEmbedder, pictures: Sequence[Image.Image], *, rounds: int
) -> None:
    """Print milliseconds a picture of torch and of ONNX Runtime."""
    assert embedder._models is not None
    views = [image.resize((224, 224)) for image in pictures]
    pixels = np.stack([np.asarray(view) for view in views])
    classify, ours = published.load_classifier(), embedder._models.vision.classify
    times = alternate([lambda: classify(pixels), lambda: ours(views)], rounds=rounds)
    ratios = [torch / onnx for torch, onnx in times]
    torch, onnx = (1000 * min(column) / len(views) for column in zip(*times, strict=True))
    print(
        f"batch {len(views):3}: torch {torch:6.1f}, ONNX Runtime {onnx:6.1f} ms of CPU a picture; "
        f"{spread(ratios)} times faster",
        flush=True,
    )


def time_overhead(
    embedder: StarterEmbedder, pictures: Sequence[Image.Image], *, rounds: int
) -> None:
    """Print how fast `embed_documents` is, relative to the bare forward pass."""
    from mmsearch_app.embedders.starter.vision import _look

    assert embedder._models is not None
    classify, size = embedder._models.vision.classify, embedder.options.batch_size
    looks = [_look(*frame_object(image, find_object(image))) for image in pictures]
    whole = [look.whole for look in looks]
    every = whole + [look.middle for look in looks if look.middle is not None]

    def forward(views: Sequence[Image.Image]) -> None:
        for start in range(0, len(views), size):
            classify(views[start : start + size])

    contents = [Content(image=image) for image in pictures]
    calls = [lambda: forward(whole), lambda: forward(every)]
    times = alternate([*calls, lambda: embedder.embed_documents(contents)], rounds=rounds)
    once, all_views = ([row[at] / row[2] for row in times] for at in (0, 1))
    print(f"embedding {len(pictures)} pictures, by CPU time: {spread(once)} of the bare speed")
    print(f"{len(every)} squares, with the second of oblong pictures: {spread(all_views)}")


def alternate(calls: Sequence[Callable[[], object]], *, rounds: int) -> list[list[float]]:
    """Return the seconds of CPU of every call in every round, after one round to warm up."""
    times = []
    for _ in range(rounds + 1):
        row = []
        for call in calls:
            begun = time.process_time()
            call()
            row.append(time.process_time() - begun)
        times.append(row)
    return times[1:]


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
