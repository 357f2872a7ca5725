"""Images that are opened, and their normalised form."""

from __future__ import annotations

import hashlib
import random
import warnings
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db.models.fields.files import FieldFile, FileField
from PIL import Image

from mmsearch_app.images.open import InvalidImage, digest, encode_jpeg, read_bytes
from tests.images.caps import open_image
from tests.pictures import FORMATS, encode, near, red_over_blue


@pytest.mark.parametrize("kind", FORMATS)
def test_opens_the_four_formats(kind: str) -> None:
    image = open_image(encode(red_over_blue(), kind, quality=95))
    assert (image.mode, image.size) == ("RGB", (40, 20))
    assert near(image.getpixel((20, 4)), (220, 20, 20), by=12)
    assert near(image.getpixel((20, 16)), (20, 20, 220), by=12)


def test_reads_a_file_from_its_start() -> None:
    file = ContentFile(encode(red_over_blue()), name="a.png")
    file.read(7)
    assert open_image(file).size == (40, 20)
    assert open_image(file).size == (40, 20)


def test_an_image_opened_elsewhere_is_normalised() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = Image.open(BytesIO(encode(red_over_blue().convert("RGBA"), exif=exif.tobytes())))
    assert (open_image(opened).mode, open_image(opened).size) == ("RGB", (20, 40))
    with pytest.raises(InvalidImage):
        open_image(Image.new("RGB", (100, 50)), max_pixels=4_999)


def test_a_broken_image_opened_elsewhere_is_refused() -> None:
    whole = encode(Image.effect_noise((200, 150), 80), "JPEG")
    with pytest.raises(InvalidImage):
        open_image(Image.open(BytesIO(whole[:2_000])))


def stored(data: bytes, folder: Path) -> FieldFile:
    storage = FileSystemStorage(folder)
    return FieldFile(None, FileField(storage=storage), storage.save("a.png", ContentFile(data)))  # type: ignore[arg-type]


def test_a_models_file_is_closed_again_and_can_be_read_again(tmp_path: Path) -> None:
    file = stored(encode(red_over_blue()), tmp_path)
    for _ in range(2):
        assert open_image(file).size == (40, 20)
        assert file.closed
        assert read_bytes(file, max_bytes=10_000) == encode(red_over_blue())
        assert file.closed


def test_an_open_models_file_stays_open(tmp_path: Path) -> None:
    with stored(encode(red_over_blue()), tmp_path).open() as file:
        assert open_image(file).size == (40, 20)
        assert not file.closed


def test_a_missing_file_is_the_storages_error_and_not_a_bad_image(tmp_path: Path) -> None:
    field = FileField(storage=FileSystemStorage(tmp_path))
    with pytest.raises(FileNotFoundError):
        open_image(FieldFile(None, field, "gone.png"))  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", FORMATS)
def test_every_exif_orientation_ends_upright(kind: str, orientation: int) -> None:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = red_over_blue(48, 32)
    upright.paste((20, 200, 20), (0, 0, 16, 16))
    stored = upright.transpose(turns[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = open_image(encode(stored, kind, exif=exif.tobytes(), quality=95))
    assert image.size == (48, 32)
    assert near(image.getpixel((8, 8)), (20, 200, 20), by=20)
    assert near(image.getpixel((40, 8)), (220, 20, 20), by=20)
    assert near(image.getpixel((40, 26)), (20, 20, 220), by=20)


def test_damaged_exif_does_not_reject_the_image() -> None:
    broken = b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert open_image(encode(red_over_blue(), "JPEG", exif=broken)).size == (40, 20)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_transparent_pixels_become_white(kind: str, mode: str) -> None:
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (0, 0, 8, 16))
    image = open_image(encode(clear.convert(mode), kind))
    assert near(image.getpixel((2, 8)), (0, 0, 0))
    assert near(image.getpixel((13, 8)), (255, 255, 255))


def test_half_transparent_pixels_are_blended_with_white() -> None:
    image = open_image(encode(Image.new("RGBA", (4, 4), (0, 0, 0, 128))))
    assert near(image.getpixel((1, 1)), (127, 127, 127), by=1)


@pytest.mark.parametrize(
    ("mode", "colour", "transparency"),
    [("P", 0, 0), ("L", 7, 7), ("RGB", (1, 2, 3), (1, 2, 3)), ("1", 0, 0)],
)
def test_a_transparent_colour_becomes_white(mode: str, colour: Any, transparency: Any) -> None:
    data = encode(Image.new(mode, (4, 4), colour), transparency=transparency)
    assert open_image(data).getpixel((1, 1)) == (255, 255, 255)


def test_a_palette_keeps_its_colours() -> None:
    image = open_image(encode(red_over_blue().convert("P", palette=Image.Palette.ADAPTIVE)))
    assert near(image.getpixel((5, 4)), (220, 20, 20))


def test_sixteen_bits_of_grey_are_scaled_and_not_clipped() -> None:
    grey = Image.fromarray(np.full((4, 4), 0x8000, np.uint16))
    assert open_image(encode(grey)).getpixel((1, 1)) == (128, 128, 128)


def test_cmyk_becomes_rgb() -> None:
    data = encode(red_over_blue().convert("CMYK"), "JPEG", quality=95)
    assert near(open_image(data).getpixel((20, 4)), (220, 20, 20), by=12)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_the_first_frame_of_an_animation_is_used(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    assert near(open_image(data).getpixel((8, 8)), (255, 0, 0), by=12)


def test_a_phones_jpeg_with_a_second_view_and_a_film_behind_it_opens() -> None:
    views = [red_over_blue(), Image.new("RGB", (40, 20))]
    data = encode(views[0], "MPO", save_all=True, append_images=views[1:])
    film = random.Random(0).randbytes(4 << 20) + b"\xff\xda" * 500
    assert near(open_image(data + film).getpixel((20, 4)), (220, 20, 20), by=12)


@pytest.mark.parametrize("size", [(3000, 2000), (2000, 3000), (5000, 40), (1025, 1025)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_large_image_is_shrunk_and_keeps_its_shape(kind: str, size: tuple[int, int]) -> None:
    image = open_image(encode(red_over_blue(*size), kind))
    assert max(image.size) == 1024
    width, height = size
    assert image.size[0] / image.size[1] == pytest.approx(width / height, rel=0.13)
    assert near(image.getpixel((9, 1)), (220, 20, 20), by=12)
    assert near(image.getpixel((9, image.size[1] - 2)), (20, 20, 220), by=12)


def test_shrinking_in_bands_equals_shrinking_at_once() -> None:
    ramp = np.linspace(0, 255, 2500, dtype=np.uint8)[:, None].repeat(2500, axis=1)
    whole = Image.fromarray(ramp).convert("RGB")
    ours = np.asarray(open_image(encode(whole), longest_side=300), dtype=int)
    at_once = np.asarray(whole.resize((300, 300), Image.Resampling.LANCZOS), dtype=int)
    assert np.abs(ours - at_once).max() <= 2


@cache
def landscape(width: int, height: int) -> Image.Image:
    """An image with details of all sizes, like a photograph."""
    chance = np.random.default_rng(0)
    layers = [
        np.asarray(
            Image.fromarray(chance.integers(0, 256, (cells, cells, 3), np.uint8)).resize(
                (width, height), Image.Resampling.BICUBIC
            ),
            dtype=float,
        )
        for cells in (4, 16, 64, 256)
    ]
    mixed = np.average(layers, axis=0, weights=[8, 4, 2, 1])
    return Image.fromarray(mixed.astype(np.uint8))


@pytest.mark.parametrize("size", [(1600, 1200), (1200, 1600), (2160, 2160), (3000, 1000)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_is_reduced_to_what_is_enough(kind: str, size: tuple[int, int]) -> None:
    image = open_image(encode(red_over_blue(*size), kind), enough=300, longest_side=1000)
    assert 300 <= min(image.size) < 600
    assert max(image.size) <= 1000
    assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.01)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_oblong_image_is_never_longer_than_allowed(kind: str) -> None:
    image = open_image(encode(red_over_blue(4000, 500), kind), enough=300)
    assert image.size == (1024, 128)


def test_an_image_of_fewer_pixels_than_enough_is_left_alone() -> None:
    assert open_image(encode(red_over_blue(500, 400)), enough=448).size == (500, 400)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK"])
@pytest.mark.parametrize("size", [(2160, 1440), (1200, 1250)])
def test_a_model_sees_the_same_of_a_reduced_image(mode: str, size: tuple[int, int]) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    data = encode(landscape(*size).convert(mode), kind, compress_level=1, quality=95)
    fair = np.asarray(
        Image.open(BytesIO(data)).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC), int
    )
    for options in ({}, {"enough": 448}):
        small = open_image(data, **options).resize((224, 224), Image.Resampling.BICUBIC)
        off = np.abs(np.asarray(small, dtype=int) - fair)
        assert off.mean() < 1
        assert np.quantile(off, 0.99) <= 3


def test_a_transparent_image_is_blended_with_white_after_it_is_reduced() -> None:
    pixels = np.zeros((1200, 1200, 4), np.uint8)
    pixels[::2, :, 3] = 255  # every other row is black, the rest is clear
    image = open_image(encode(Image.fromarray(pixels)), enough=600)
    assert image.size == (600, 600)
    assert near(image.getpixel((300, 300)), (128, 128, 128), by=1)


def test_a_small_image_is_not_enlarged() -> None:
    assert open_image(encode(Image.new("RGB", (1, 3)))).size == (1, 3)


def test_an_ordinary_progressive_jpeg_opens() -> None:
    noise = Image.effect_noise((300, 200), 90).convert("RGB")
    assert open_image(encode(noise, "JPEG", progressive=True)).size == (300, 200)


def test_a_script_after_the_image_data_does_not_survive() -> None:
    data = encode(red_over_blue()) + b"<script>alert(1)</script>"
    assert b"script" not in encode_jpeg(open_image(data))


def test_encoding_drops_every_kind_of_metadata() -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRETCAMERA"
    extras = {"comment": b"SECRETCOMMENT", "icc_profile": b"SECRETPROFILE", "dpi": (71, 71)}
    original = Image.open(BytesIO(encode(red_over_blue(), "JPEG", exif=exif.tobytes(), **extras)))
    assert b"SECRET" not in encode_jpeg(original)
    assert b"SECRET" not in encode_jpeg(open_image(encode(original, "JPEG")))


def test_an_opened_image_has_no_metadata() -> None:
    for size in ((40, 20), (3000, 1500)):
        extras = {"comment": b"SECRET", "dpi": (71, 71)}
        assert open_image(encode(red_over_blue(*size), "JPEG", **extras)).info == {}


def test_encoding_shrinks_without_touching_the_original() -> None:
    original = red_over_blue(400, 200)
    small = Image.open(BytesIO(encode_jpeg(original, longest_side=100)))
    assert (small.format, small.size, original.size) == ("JPEG", (100, 50), (400, 200))


@pytest.mark.parametrize("size", [None, 0, 5, 99, 100, 101, 400])
def test_a_file_is_read_whole_whatever_its_size_says(size: int | None) -> None:
    file: Any = ContentFile(bytes(100))
    file.size = size
    assert read_bytes(file, max_bytes=500) == bytes(100)
    with pytest.raises(InvalidImage):
        read_bytes(file, max_bytes=99)


def test_a_file_is_read_from_its_start() -> None:
    data = random.Random(1).randbytes(3 << 20)
    file = ContentFile(data)
    file.read(5)
    assert digest(read_bytes(file, max_bytes=4 << 20)) == hashlib.sha256(data).hexdigest()
