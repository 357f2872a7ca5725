"""Images for the tests, harmless and hostile."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")
PICTURE = Image.effect_mandelbrot((60, 44), (-2, -1.5, 1, 1.5), 20).convert("RGB")
"""An image in which no two parts look the same."""
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n%%EOF\n"


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def as_sent(image: Image.Image) -> Image.Image:
    """The image as a model server receives it: a JPEG."""
    return Image.open(BytesIO(encode(image, "JPEG", quality=90, optimize=True)))


def red_over_blue(width: int = 40, height: int = 20) -> Image.Image:
    image = Image.new("RGB", (width, height), (220, 20, 20))
    image.paste((20, 20, 220), (0, height // 2, width, height))
    return image


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    after_header = 33
    return png[:after_header] + png_chunk(kind, body) + png[after_header:]


def black_png(width: int, height: int) -> bytes:
    """A valid black PNG, compressed row by row so that its pixels are never all in memory."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + width)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def near(pixel: Any, expected: tuple[int, int, int], *, by: int = 6) -> bool:
    return all(abs(a - b) <= by for a, b in zip(pixel, expected, strict=True))
