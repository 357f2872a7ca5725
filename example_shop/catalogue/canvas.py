"""A canvas with a backdrop, on which smooth-edged shapes are painted, lit and shaded.

Drawings use the coordinates of a board of 640 by 640. A `Pose` moves, turns and enlarges the
board in front of the camera, so that one drawing serves several views.
"""

from __future__ import annotations

import copy

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .backdrops import Backdrop
from .cutting import BOARD, Light, Patch, Pose, dashes, inside, stroke
from .fields import Field, box_blur, crease, noise, resize
from .outlines import Outline

_FINE = 4  # subpixels per pixel and side in a cut edge
_COARSE = 4  # pixels per sample and side in soft light


class Canvas:
    """An image being drawn: `rgb` is (3, side, side) in 0..1."""

    def __init__(self, size: int, backdrop: Backdrop, pose: Pose | None = None) -> None:
        """Show the backdrop at size by size pixels; `pose` places the board."""
        self.size = size
        self.side = -(-size // _COARSE) * _COARSE
        self.scale = size / BOARD
        self.rgb = backdrop.render(self.side).copy()
        self._take(pose or Pose())

    def _take(self, pose: Pose) -> None:
        self.pose = pose
        self._matrix = pose.matrix(self.size)
        self._inverse = np.linalg.inv(self._matrix)

    def posed(self, pose: Pose) -> Canvas:
        """A canvas that draws into the same image with the board in another pose."""
        other = copy.copy(self)
        other._take(pose)
        return other

    def cut(self, *outlines: Outline, blur: float = 0, within: Patch | None = None) -> Patch:
        """The union of the outlines as a patch, blurred, and clipped to `within`."""
        rings = [self._pixels(o) for o in outlines]
        return self._mask(rings, blur=blur, within=within, line=None)

    def line(
        self,
        *outlines: Outline,
        width: float,
        blur: float = 0,
        within: Patch | None = None,
        dash: int = 0,
    ) -> Patch:
        """Strokes along open outlines; with `dash`, as stitches of that length."""
        rings = [self._pixels(o) for o in outlines]
        if dash:
            rings = [piece for ring in rings for piece in dashes(ring, dash * self.scale)]
        return self._mask(rings, blur=blur, within=within, line=width * self.pose.zoom)

    def grid(self, patch: Patch, *, step: int = 1) -> tuple[Field, Field]:
        """Board coordinates x, y of the patch's pixels (every `step`-th, at their centres)."""
        height, width = (n // step for n in patch.alpha.shape)
        px = ((np.arange(width) + 0.5) * step + patch.left).astype(np.float32)[None]
        py = ((np.arange(height) + 0.5) * step + patch.top).astype(np.float32)[:, None]
        (a, b, c), (d, e, f) = self._inverse[:2].astype(np.float32)
        return a * px + b * py + c, d * px + e * py + f

    def light(self, patch: Patch, how: Light) -> Field:
        """The light on the patch, (h, w), around 1; the lamp is at the upper left."""
        height, width = patch.alpha.shape
        low = patch.alpha.reshape(height // _COARSE, _COARSE, width // _COARSE, _COARSE).mean(
            (1, 3)
        )
        radius = max(1, int(how.round * self.scale * self.pose.zoom / _COARSE / 1.4))
        dome = _dome(low, radius)
        dy, dx = np.gradient(dome * radius)
        slant = (0.55 * dx + 0.8 * dy) / np.sqrt(1 + dx * dx + dy * dy)
        soft = 1 + how.bulge * slant - how.edge * (1 - dome) ** 2
        x, y = self.grid(patch, step=_COARSE)
        for fold in how.creases:
            soft += crease(x, y, fold)
        if how.waves:
            soft += how.waves * _sample(
                noise(how.seed, side=256, finest=16, coarsest=70), x * 0.4, y * 0.4
            )
        full = resize(soft.astype(np.float32), width, height)
        if how.grain:
            full = full + how.grain * self._grain(patch)
        return full

    def paint(
        self, patch: Patch, ink: Field, light: Field | None = None, *, opacity: float = 1
    ) -> None:
        """Paint the patch with ink, (3,) or (3, h, w); light above 1 whitens, below 1 darkens."""
        if not patch.alpha.size:
            return
        ink = ink[:, None, None] if ink.ndim == 1 else ink
        if light is not None:
            whiter = 1 - ink
            whiter = whiter * np.maximum(light - 1, 0)
            ink = ink * np.minimum(light, 1)
            ink += whiter
        rows, columns = patch.box
        region = self.rgb[:, rows, columns]
        change = ink - region
        change *= patch.alpha * np.float32(opacity) if opacity != 1 else patch.alpha
        region += change

    def shade(self, patch: Patch, strength: float) -> None:
        """Darken the patch by a slightly blue shadow."""
        if not patch.alpha.size:
            return
        rows, columns = patch.box
        for channel, tint in zip(self.rgb[:, rows, columns], (1.0, 0.985, 0.96), strict=True):
            channel *= 1 - patch.alpha * (np.float32(tint) * np.float32(strength))

    def glow(self, patch: Patch, strength: float) -> None:
        """Lighten the patch towards white, as a highlight."""
        self.paint(patch, np.ones(3, np.float32), opacity=strength)

    def ground(self, cx: float, y: float, rx: float, ry: float, strength: float = 0.4) -> None:
        """Draw the shadow of an object standing on the floor at y: a dark core and a wide rim."""
        low = -(-self.side // _COARSE)
        step = _COARSE / self.scale
        x = ((np.arange(low) + 0.5) * step)[None] - cx
        down = ((np.arange(low) + 0.5) * step)[:, None] - y
        wide = np.exp(-((x / (1.25 * rx)) ** 4) - ((down - ry * 0.4) / (1.9 * ry)) ** 2)
        core = np.exp(-((x / rx) ** 6) - (down / (0.55 * ry)) ** 2)
        dark = resize(
            (strength * (0.5 * wide + 0.6 * core)).astype(np.float32), self.side, self.side
        )
        self.rgb *= 1 - np.clip(dark, 0, 1)

    def drop(
        self,
        *outlines: Outline,
        dx: float = 8,
        dy: float = 12,
        blur: float = 12,
        strength: float = 0.3,
    ) -> None:
        """Draw the shadow of an object that lies on the floor or hangs in front of the wall."""
        shape = [self._pixels(o) for o in outlines]
        for blurred, share, far in ((blur, 0.55, 1.0), (blur / 4, 0.5, 0.25)):
            moved = [o + np.array((dx, dy)) * far * self.scale for o in shape]
            self.shade(self._mask(moved, blur=blurred, within=None, line=None), strength * share)

    def image(self) -> Image.Image:
        """The finished image, RGB, size by size."""
        planes = self.rgb[:, : self.size, : self.size] * 255
        planes += 0.5
        out = np.clip(planes, 0, 255, out=planes).astype(np.uint8)
        return Image.merge("RGB", [Image.fromarray(plane) for plane in out])

    def _pixels(self, outline: Outline) -> Outline:
        return np.asarray(outline @ self._matrix[:2, :2].T + self._matrix[:2, 2])

    def _grain(self, patch: Patch) -> Field:
        side = max(self.side, 256)
        thread = noise(7, side=side, finest=1.4)
        return thread[: patch.alpha.shape[0], : patch.alpha.shape[1]]

    def _mask(
        self, rings: list[Outline], *, blur: float, within: Patch | None, line: float | None
    ) -> Patch:
        blur, width = blur * self.scale * self.pose.zoom, (line or 0) * self.scale
        left, top, right, bottom = self._frame(rings, 3 * blur + width + 2)
        fine = _resolution(blur)
        width_px, height_px = right - left, bottom - top
        stencil = Image.new("L", (int(width_px * fine), int(height_px * fine)))
        draw = ImageDraw.Draw(stencil)
        for ring in rings:
            points = [tuple(p) for p in ((ring - (left, top)) * fine - 0.5).tolist()]
            if line is None:
                draw.polygon(points, fill=255)
            else:
                stroke(draw, points, width * fine)
        if fine > 1:
            stencil = stencil.reduce(_FINE)
        if blur:
            stencil = stencil.filter(ImageFilter.GaussianBlur(blur * min(fine, 1)))
        if fine < 1:
            stencil = stencil.resize((width_px, height_px), Image.Resampling.BICUBIC)
        alpha = np.asarray(stencil, np.float32) / np.float32(255)
        return inside(Patch(alpha=alpha, left=left, top=top), within)

    def _frame(self, rings: list[Outline], margin: float) -> tuple[int, int, int, int]:
        points = np.vstack(rings)
        low = np.clip((points.min(0) - margin) // _COARSE * _COARSE, 0, self.side - _COARSE)
        high = np.clip(-((-points.max(0) - margin) // _COARSE * _COARSE), low + _COARSE, self.side)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _resolution(blur: float) -> float:
    """Subpixels per pixel and side for a mask that will be blurred: fewer for a wider blur."""
    if blur < 1.5:
        return _FINE
    return 1 if blur < 8 else 1 / _COARSE


def _dome(low: Field, radius: int) -> Field:
    """The height of a coverage (h, w) inflated like a cushion, 0 to 1; steep at its edge."""
    soft = sum(
        (box_blur(low, max(1, int(radius * k))) for k in (0.5, 1.0, 1.9)), np.zeros_like(low)
    )
    height = np.sqrt(np.clip(soft * (2 / 3) - 1, 0, 1) + 0.02)
    return np.asarray(height / max(float(height.max()), 0.2), np.float32)


def _sample(tile: Field, x: Field, y: Field) -> Field:
    mask = tile.shape[0] - 1
    return np.asarray(tile[y.astype(np.int32) & mask, x.astype(np.int32) & mask])
