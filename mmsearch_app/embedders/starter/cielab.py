"""sRGB to CIELAB under D65, in which distances are about as large as they look.

IEC 61966-2-1 (sRGB) and CIE 15:2004 (CIELAB, the white point, the cube root's linear start).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["srgb_to_lab"]

_XYZ: Final = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE: Final = (0.95047, 1.0, 1.08883)


def srgb_to_lab(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Convert (..., 3) sRGB bytes to L* (0 to 100), a* and b*."""
    c = pixels / 255.0
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array(_XYZ).T / np.array(_WHITE)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
