"""Colour and pattern of the products' surfaces.

A surface looks up the texels of a pattern's tile by its own coordinates, so a stripe follows the
wall of a mug.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .fields import Field
from .palette import rgb, shift
from .tiles import PATTERNS, TILE, Planes

__all__ = ["PATTERNS", "Cloth", "dye", "tile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloth:
    """The look of a surface: a colour, a second colour, and a pattern."""

    colour: str
    accent: str | None = None
    pattern: str = "plain"

    @property
    def ground(self) -> Field:
        """The main colour, (3,)."""
        return rgb(self.colour)

    @property
    def second(self) -> Field:
        """The accent, or a darker main colour if there is none, (3,)."""
        return rgb(self.accent) if self.accent else shift(self.ground, -0.3)

    def inks(self) -> tuple[Field, ...]:
        """The three inks that print this pattern on the ground."""
        ground, second = self.ground, self.second
        if self.pattern == "leopard":
            return (
                second * 0.95,
                shift(ground * np.array([0.95, 0.82, 0.66], np.float32), -0.1),
                second,
            )
        if self.pattern == "camouflage":
            return second, shift(ground, -0.55), shift(ground, 0.32)
        if self.pattern == "floral":
            leaf = rgb("green") if self.colour not in ("green", "mint", "olive") else rgb("mint")
            return (
                second,
                shift(leaf, -0.12),
                rgb("yellow" if self.accent != "yellow" else "orange"),
            )
        return second, shift(second, 0.35), shift(second, -0.3)


def dye(cloth: Cloth, u: Field, v: Field, *, span: float, fineness: float = 1) -> Field:
    """The colours (3, h, w) of a surface with coordinates u, v; plain cloth gives one, (3,).

    One tile covers `span` units of u and v; `fineness` is the number of pixels per unit.
    """
    if cloth.pattern == "plain":
        return cloth.ground
    texel = TILE / span
    inks = tile(cloth.pattern, round(max(0.0, 0.6 * texel / fineness - 0.2)))
    at = ((v * texel).astype(np.int32) & (TILE - 1)) * TILE + (
        (u * texel).astype(np.int32) & (TILE - 1)
    )
    ground = cloth.ground
    out = np.empty((3, *at.shape), np.float32)
    out[:] = ground[:, None, None]
    for plane, ink in zip(inks, cloth.inks(), strict=False):
        weight = plane.take(at).astype(np.float32) / 255
        for channel in range(3):
            out[channel] += weight * (ink[channel] - ground[channel])
    return out


@functools.lru_cache(maxsize=64)
def tile(pattern: str, blur: float = 0) -> tuple[NDArray[np.uint8], ...]:
    """One to three planes (TILE * TILE,) of ink coverage, softened by `blur` texels.

    Raises KeyError if `pattern` is not in PATTERNS.
    """
    return tuple(_soften(plane, blur).reshape(-1) for plane in _sharp(pattern))


@functools.cache
def _sharp(pattern: str) -> Planes:
    return [plane for plane in PATTERNS[pattern]() if plane.any()]


def _soften(plane: NDArray[np.uint8], blur: float) -> NDArray[np.uint8]:
    if not blur:
        return np.ascontiguousarray(plane)
    padded = Image.fromarray(np.pad(plane, 16, "wrap"))
    soft = padded.filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(soft.crop((16, 16, 16 + TILE, 16 + TILE)))
