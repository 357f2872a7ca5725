"""Draw the training pictures once, and keep them in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from example_shop.catalogue import VIEWS
from example_shop.catalogue.kinds import DRAWINGS
from example_shop.llvm.looks import Look, is_named_so, looks_to_learn

SIDE = 128
"""Pixels: how the model sees a picture."""
DRAWN = 320
"""Pixels at which pictures are drawn before they are made smaller: a shop's photograph is larger
than the model's view of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Pictures as the model's processor would scale them, with what they show."""

    pixels: NDArray[np.uint8]
    """(count, SIDE, SIDE, 3), RGB."""
    looks: tuple[Look, ...]


def load_pictures(folder: Path, *, count: int, seed: int, jobs: int) -> Pictures:
    """Return pictures to learn from, drawn if the folder does not have them yet.

    Of the `count` that are drawn, those are left out whose look the shop would name otherwise.
    """
    looks = tuple(islice(looks_to_learn(seed), count))
    name = folder / f"pictures-{SIDE}-{seed}-{count}.npy"
    if not name.exists():
        folder.mkdir(parents=True, exist_ok=True)
        drawn = draw_looks(looks, jobs=jobs)
        unfinished = name.with_suffix(".part.npy")
        np.save(unfinished, drawn)
        unfinished.rename(name)
        described = [asdict(look) for look in looks]
        name.with_suffix(".json").write_text(json.dumps(described), encoding="utf-8")
    named = [number for number, look in enumerate(looks) if is_named_so(look)]
    pixels = np.load(name, mmap_mode="r")[named]
    return Pictures(pixels=pixels, looks=tuple(looks[number] for number in named))


def draw_looks(looks: Sequence[Look], *, jobs: int = 1) -> NDArray[np.uint8]:
    """Draw each look, from its first and its second angle in turn: (count, SIDE, SIDE, 3)."""
    tasks = [(look, number % VIEWS) for number, look in enumerate(looks)]
    out = np.empty((len(looks), SIDE, SIDE, 3), np.uint8)
    if jobs == 1:
        for number, task in enumerate(tasks):
            out[number] = _draw(task)
        return out
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        drawn = pool.map(_draw, tasks, chunksize=64)
        for number, pixels in enumerate(tqdm(drawn, total=len(tasks), unit="picture")):
            out[number] = pixels
    return out


def shrink(image: Image.Image) -> NDArray[np.uint8]:
    """Scale to SIDE × SIDE as the model's processor does."""
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def _draw(task: tuple[Look, int]) -> NDArray[np.uint8]:
    look, view = task
    return shrink(DRAWINGS[look.kind](look.cloth, view=view, size=DRAWN).image())
