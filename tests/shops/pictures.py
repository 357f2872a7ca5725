"""Pictures of one colour, which the tests' embedder tells apart."""

from __future__ import annotations

from io import BytesIO

from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from tests.pictures import encode

COLOURS = {
    "red": (200, 20, 20),
    "green": (20, 160, 40),
    "blue": (20, 40, 200),
    "yellow": (230, 210, 20),
}


def _jpeg(colour: str, side: int) -> bytes:
    return encode(Image.new("RGB", (side, side), COLOURS[colour]), "JPEG", quality=90)


def picture(colour: str, *, side: int = 900) -> ContentFile[bytes]:
    """A photograph as a shop stores it; a different `side` gives different bytes."""
    return ContentFile(_jpeg(colour, side), name=f"{colour}-{side}.jpg")


def upload(colour: str, *, side: int = 900) -> SimpleUploadedFile:
    """A photograph as a browser sends it."""
    return SimpleUploadedFile(f"{colour}-{side}.jpg", _jpeg(colour, side), "image/jpeg")


def width(jpeg: bytes) -> int:
    """Width of an encoded picture in pixels."""
    return Image.open(BytesIO(jpeg)).width
