"""Measure the speed of the models, the overhead around them, and the gain of batching queries.

    python -m benchmarks.embedders [--models bge-vl-base visualized-bge-base …]
        [--dtypes float32 bfloat16] [--batches 1 4] [--images 4] [--visitors 1 4 16] [--turns 3]

The architectures are those of the released models at full size; random weights do not change the
speed. Every model and dtype runs in its own process, so that the peak memory is its own. Calls
that are compared alternate, and the fastest of `--turns` counts, because the machine may be busy.
"of bare" is the speed relative to the bare forward pass on prepared tensors: `embed` also resizes,
copies and splits, and `+ decode` also opens the JPEG. A GPU is used if there is one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.random_models import TEXTS, bare, build, network_device, network_module
from mmsearch_app.embedders.batching import Batcher
from mmsearch_app.embedders.runtime import TorchEmbedder
from mmsearch_app.images.open import open_image
from mmsearch_app.inference.content import Content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["bge-vl-base"])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--visitors", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for model in options.models:
        for dtype in options.dtypes:
            process = context.Process(target=measure, args=(model, dtype, options))
            process.start()
            process.join()
            if process.exitcode:
                sys.exit(process.exitcode)


def measure(model: str, dtype: Any, options: argparse.Namespace) -> None:
    """Print all three tables for one model in one dtype."""
    import torch

    embedder = build(model, dtype)
    network: Any = embedder._network
    images = [make_jpeg(number) for number in range(options.images)]
    device = network_device(network)
    print(f"\n{model}, {dtype}, {device}, {torch.get_num_threads()} threads, random weights")
    print(f"{'':<10}{'batch':>6}{'bare/s':>10}{'embed/s':>10}{'of bare':>9}{'+ decode':>9}")
    with torch.inference_mode():
        for batch in options.batches:
            embedder.batch_size = batch
            print_speeds("images", batch, *time_images(embedder, images, turns=options.turns))
        for batch in options.batches:
            embedder.batch_size = batch
            count = 4 * options.images
            print_speeds("words", batch, *time_words(embedder, count, turns=options.turns))
    embedder.batch_size = 32
    if options.visitors:
        print(
            f"{'queries':<10}{'visitors':>9}{'alone/s':>10}{'joined/s':>10}{'gain':>7}{'median':>18}"
        )
    for kind, contents in queries(images).items():
        for visitors in options.visitors:
            print_visitors(embedder, kind, contents, visitors=visitors, turns=options.turns)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    weights = sum(p.numel() * p.element_size() for p in network_module(network).parameters())
    print(f"weights {weights / 1e6:.0f} MB, peak of the process {peak / 1e6:.0f} MB", end="")
    if device.type == "cuda":
        print(f", peak on the GPU {torch.cuda.max_memory_allocated() / 1e6:.0f} MB", end="")
    print(flush=True)


def make_jpeg(seed: int) -> bytes:
    """A JPEG of 800 × 600, with about the file size of a product photograph."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 255, (30, 40, 3), dtype=np.uint8))
    image = np.asarray(coarse.resize((800, 600), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = random.integers(-6, 7, image.shape, dtype=np.int16)
    buffer = BytesIO()
    Image.fromarray((image + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def decode(data: bytes) -> Image.Image:
    return open_image(data, max_bytes=1 << 30, max_pixels=1 << 30, max_decode_bytes=1 << 40)


def quickest(calls: Sequence[Callable[[], Any]], device: Any, *, turns: int) -> list[float]:
    """The fewest seconds of each call; calls alternate, after one turn to warm up."""
    import torch

    best = [float("inf")] * len(calls)
    for turn in range(turns + 1):
        for place, call in enumerate(calls):
            start = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                best[place] = min(best[place], time.perf_counter() - start)
    return best


def time_images(embedder: TorchEmbedder, jpegs: Sequence[bytes], *, turns: int) -> list[float]:
    """Images per second: the bare network, the embedder, the embedder after decoding."""
    network: Any = embedder._network
    batch = min(embedder.batch_size, len(jpegs))
    contents = [Content(image=decode(data)) for data in jpegs]
    forward = bare(network, batch, images=True)
    calls = [
        lambda: [forward() for _ in range(0, len(jpegs), batch)],
        lambda: embedder.embed_documents(contents),
        lambda: [decode(data) for data in jpegs],
    ]
    alone, embedding, decoding = quickest(calls, network_device(network), turns=turns)
    return [len(jpegs) / each for each in (alone, embedding, embedding + decoding)]


def time_words(embedder: TorchEmbedder, count: int, *, turns: int) -> list[float]:
    """Texts per second: the bare network, the embedder."""
    network: Any = embedder._network
    batch = min(embedder.batch_size, count)
    contents = [Content(text=TEXTS[number % 4]) for number in range(count)]
    forward = bare(network, batch, images=False)
    calls = [
        lambda: [forward() for _ in range(0, count, batch)],
        lambda: embedder.embed_queries(contents),
    ]
    return [count / each for each in quickest(calls, network_device(network), turns=turns)]


def print_speeds(kind: str, batch: int, alone: float, whole: float, *more: float) -> None:
    shares = "".join(f"{speed / alone:>9.2f}" for speed in (whole, *more))
    print(f"{kind:<10}{batch:>6}{alone:>10.1f}{whole:>10.1f}{shares}", flush=True)


def queries(jpegs: Sequence[bytes]) -> dict[str, list[Content]]:
    image = decode(jpegs[0])
    words = [Content(text=text) for text in TEXTS]
    return {"words": words, "composed": [Content(image=image, text=text) for text in TEXTS]}


def print_visitors(
    embedder: TorchEmbedder, kind: str, contents: Sequence[Content], *, visitors: int, turns: int
) -> None:
    """Print queries per second for concurrent visitors, and the median milliseconds of a query."""
    joined = Batcher(embedder, most=16, seconds=600)
    best = [(0.0, 0.0), (0.0, 0.0)]
    for _ in range(turns):
        for place, ask in enumerate((embedder.embed_queries, joined.embed_queries)):
            best[place] = max(best[place], crowd(ask, contents, visitors=visitors))
    (alone, slow), (together, quick) = best
    figures = f"{alone:>10.2f}{together:>10.2f}{together / alone:>7.2f}"
    print(f"{kind:<10}{visitors:>9}{figures}{slow:>10.0f} → {quick:.0f} ms", flush=True)


def crowd(
    ask: Callable[[Sequence[Content]], Any], contents: Sequence[Content], *, visitors: int
) -> tuple[float, float]:
    """Let each visitor ask twice in a row; returns queries per second and median milliseconds."""

    def visit(number: int) -> list[float]:
        times = []
        for turn in range(2):
            start = time.perf_counter()
            ask([contents[(number + turn) % len(contents)]])
            times.append(1000 * (time.perf_counter() - start))
        return times

    start = time.perf_counter()
    with ThreadPoolExecutor(visitors) as pool:
        times = [taken for each in pool.map(visit, range(visitors)) for taken in each]
    return len(times) / (time.perf_counter() - start), statistics.median(times)


if __name__ == "__main__":
    main()
