"""The seamless backdrops behind the products."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from .fields import Field, noise, resize


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """A sheet of paper: its brightness at the top and at the bottom, its tint, and its bend."""

    wall: float = 0.955
    floor: float = 0.9
    tint: tuple[float, float, float] = (1, 1, 1)
    bend: float | None = None
    """Where the wall turns into the floor, from 0 (top) to 1; None: a sheet seen from above."""

    @functools.lru_cache(maxsize=8)  # noqa: B019 - backdrops are constants
    def render(self, side: int) -> Field:
        """The backdrop alone, (3, side, side). Paint on a copy: the array is kept."""
        low = 80
        y, x = np.mgrid[0:low, 0:low].astype(np.float32) / low
        if self.bend is None:
            fall = (0.5 * x + 0.5 * y) ** 1.5
        else:
            t = np.clip((y - self.bend + 0.14) / 0.28, 0, 1)
            fall = t * t * (3 - 2 * t)
        base = (
            self.wall + (self.floor - self.wall) * fall - 0.035 * np.hypot(x - 0.45, y - 0.45) ** 2
        )
        # A little noise, because so gentle a gradient shows bands in 8 bits.
        smooth = (
            resize(base.astype(np.float32), side, side)
            + 0.0015 * noise(7, side=max(side, 256), finest=1.4)[:side, :side]
        )
        return np.asarray(smooth[None] * np.array(self.tint, np.float32)[:, None, None])


_WARM, _COOL = (1, 0.99, 0.977), (0.985, 0.99, 1)

PAPER = Backdrop(wall=0.985, floor=0.93)
STUDIO = Backdrop(wall=0.98, floor=0.9, bend=0.7)
WARM_PAPER, COOL_PAPER = Backdrop(tint=_WARM), Backdrop(tint=_COOL)
WARM_STUDIO, COOL_STUDIO = Backdrop(tint=_WARM, bend=0.6), Backdrop(tint=_COOL, bend=0.6)
EVENING = Backdrop(wall=0.93, floor=0.86, tint=(1, 0.975, 0.93), bend=0.8)
