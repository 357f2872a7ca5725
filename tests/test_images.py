"""Untrusted pictures: what is opened, in which form, and what is refused."""

from __future__ import annotations

import contextlib
import hashlib
import random
import struct
import time
import warnings
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from django.core.files.base import ContentFile
from PIL import Image

from mmsearch_app.images import InvalidImage, digest, encode_jpeg, open_image, read_bytes

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n%%EOF\n"


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


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
    """A valid grey picture, packed in a stream so that its pixels are never in memory here."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + width)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def code_of(data: bytes, **options: Any) -> str:
    with pytest.raises(InvalidImage) as caught:
        open_image(data, **options)
    assert str(caught.value).endswith(".")
    return caught.value.code


def near(pixel: Any, expected: tuple[int, int, int], *, by: int = 6) -> bool:
    return all(abs(a - b) <= by for a, b in zip(pixel, expected, strict=True))


@pytest.mark.parametrize("kind", FORMATS)
def test_opens_the_four_formats(kind: str) -> None:
    image = open_image(encode(red_over_blue(), kind, quality=95))
    assert (image.mode, image.size) == ("RGB", (40, 20))
    assert near(image.getpixel((20, 4)), (220, 20, 20), by=12)
    assert near(image.getpixel((20, 16)), (20, 20, 220), by=12)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO", "TGA", "JPEG2000", "PDF"])
def test_refuses_every_other_format(kind: str) -> None:
    assert code_of(encode(red_over_blue(), kind)) == "unsupported"


def test_refuses_eps_whatever_its_name_and_size() -> None:
    assert code_of(EPS) == "unsupported"
    assert code_of(b"\xc5\xd0\xd3\xc6" + EPS * 500) == "unsupported"


@pytest.mark.parametrize("data", [b"hello", b"<svg onload='alert(1)'/>", b"\xff\xd8", b"\x89PNG"])
def test_refuses_what_is_no_picture(data: bytes) -> None:
    assert code_of(data) == "unsupported"


def test_refuses_heic_as_unsupported_and_not_as_broken() -> None:
    heic = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"mif1", 0, b"mif1", b"heic")
    assert code_of(heic + bytes(200)) == "unsupported"


def test_an_empty_file_is_told_apart() -> None:
    assert code_of(b"") == "empty"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_picture_is_broken(kind: str, share: float) -> None:
    noise = Image.effect_noise((200, 150), 80).convert("RGB")
    data = encode(noise, kind)
    assert code_of(data[: int(len(data) * share)]) == "broken"


def test_twelve_thousand_square_is_refused_from_the_header_alone() -> None:
    data = black_png(12_000, 12_000)
    assert len(data) < 200_000
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert code_of(data) == "too_many_pixels"
    assert time.perf_counter() - start < 0.1


def test_the_pixel_cap_is_exact() -> None:
    data = encode(Image.new("L", (100, 50)))
    assert open_image(data, max_pixels=5_000).size == (100, 50)
    assert code_of(data, max_pixels=4_999) == "too_many_pixels"


def test_a_cap_above_pillows_own_limit_neither_warns_nor_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(encode(red_over_blue()), max_pixels=1_000).size == (40, 20)


def test_pillows_own_refusal_is_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert code_of(encode(red_over_blue(), "WEBP")) == "too_many_pixels"


def test_a_line_of_forty_million_pixels_is_refused() -> None:
    assert code_of(encode(Image.new("1", (1, 4_000_000)))) == "too_many_pixels"


def test_too_many_bytes_are_refused_before_they_are_read() -> None:
    class Unreadable(ContentFile):
        def read(self, *_: Any) -> bytes:  # type: ignore[override]
            raise AssertionError("read in spite of its size")

    with pytest.raises(InvalidImage) as caught:
        open_image(Unreadable(bytes(101)), max_bytes=100)
    assert caught.value.code == "too_large"


def test_a_file_that_does_not_tell_its_size_is_cut_at_the_cap() -> None:
    stream = BytesIO(bytes(10_000))
    with pytest.raises(InvalidImage):
        read_bytes(stream, max_bytes=100)
    assert stream.tell() == 101


def test_the_cap_of_the_settings_holds_by_default(settings: Any) -> None:
    settings.MMSEARCH = {**settings.MMSEARCH, "MAX_IMAGE_BYTES": 10, "MAX_IMAGE_PIXELS": 10}
    assert code_of(encode(red_over_blue())) == "too_large"
    assert code_of(encode(red_over_blue()), max_bytes=1_000) == "too_many_pixels"


def test_reads_a_file_from_its_start() -> None:
    file = ContentFile(encode(red_over_blue()), name="a.png")
    file.read(7)
    assert open_image(file).size == (40, 20)
    assert open_image(file).size == (40, 20)


def test_an_image_opened_elsewhere_is_brought_into_the_same_form() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = Image.open(BytesIO(encode(red_over_blue().convert("RGBA"), exif=exif.tobytes())))
    assert (open_image(opened).mode, open_image(opened).size) == ("RGB", (20, 40))
    with pytest.raises(InvalidImage):
        open_image(Image.new("RGB", (100, 50)), max_pixels=4_999)


def test_an_image_opened_elsewhere_may_be_broken() -> None:
    whole = encode(Image.effect_noise((200, 150), 80), "JPEG")
    with pytest.raises(InvalidImage):
        open_image(Image.open(BytesIO(whole[:2_000])))


def test_a_missing_file_is_the_storages_error_and_not_a_bad_picture(tmp_path: Any) -> None:
    from django.core.files.storage import FileSystemStorage
    from django.db.models.fields.files import FieldFile, FileField

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


def test_damaged_exif_does_not_cost_the_picture() -> None:
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


def test_half_transparent_is_mixed_with_white() -> None:
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
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
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
def test_a_large_picture_is_shrunk_and_keeps_its_shape(kind: str, size: tuple[int, int]) -> None:
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


def test_a_small_picture_is_not_enlarged() -> None:
    assert open_image(encode(Image.new("RGB", (1, 3)))).size == (1, 3)


def test_a_jpeg_of_endless_scans_is_refused_at_once() -> None:
    data = encode(Image.new("RGB", (800, 500), "red"), "JPEG", progressive=True)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    hostile = data[:-2] + last_scan * 20_000 + b"\xff\xd9"
    start = time.perf_counter()
    assert code_of(hostile) == "broken"
    assert time.perf_counter() - start < 0.5


def test_an_ordinary_progressive_jpeg_opens() -> None:
    noise = Image.effect_noise((300, 200), 90).convert("RGB")
    assert open_image(encode(noise, "JPEG", progressive=True)).size == (300, 200)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_compressed_text_bomb_stays_small(kind: bytes) -> None:
    import tracemalloc

    bomb = zlib.compress(bytes(200 << 20), 9)
    head = b"k\0\1\0\0\0" if kind == b"iTXt" else b"k\0\0"
    data = with_chunk(encode(red_over_blue()), kind, head + bomb)
    tracemalloc.start()
    with contextlib.suppress(InvalidImage):
        open_image(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_a_script_behind_the_picture_does_not_survive() -> None:
    data = encode(red_over_blue()) + b"<script>alert(1)</script>"
    assert b"script" not in encode_jpeg(open_image(data))


def test_encoding_drops_every_kind_of_metadata() -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRETCAMERA"
    extras = {"comment": b"SECRETCOMMENT", "icc_profile": b"SECRETPROFILE", "dpi": (71, 71)}
    original = Image.open(BytesIO(encode(red_over_blue(), "JPEG", exif=exif.tobytes(), **extras)))
    assert b"SECRET" not in encode_jpeg(original)
    assert b"SECRET" not in encode_jpeg(open_image(encode(original, "JPEG")))


def test_encoding_shrinks_without_touching_the_original() -> None:
    original = red_over_blue(400, 200)
    small = Image.open(BytesIO(encode_jpeg(original, longest_side=100)))
    assert (small.format, small.size, original.size) == ("JPEG", (100, 50), (400, 200))


def test_digest_is_the_sha256_of_the_bytes_from_the_start() -> None:
    data = random.Random(1).randbytes(3 << 20)
    file = ContentFile(data)
    file.read(5)
    assert digest(file) == digest(data) == hashlib.sha256(data).hexdigest()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("seed", range(4))
def test_nothing_but_invalid_image_escapes_from_damaged_bytes(kind: str, seed: int) -> None:
    dice = random.Random(f"{kind}{seed}")
    exif = Image.Exif()
    exif[0x0112] = 6
    modes = {"JPEG": ["RGB", "CMYK", "L"], "PNG": ["P", "RGBA", "L", "1", "LA"]}
    for mode in modes.get(kind, ["RGB", "RGBA"]):
        whole = Image.effect_noise((32, 24), 60).convert("RGB").convert(mode)
        good = encode(whole, kind, exif=exif.tobytes())
        for _ in range(60):
            data = bytearray(good)
            for _ in range(dice.choice((1, 2, 8))):
                data[dice.randrange(12, len(data))] = dice.randrange(256)
            if dice.random() < 0.3:
                del data[dice.randrange(12, len(data)) :]
            try:
                image = open_image(bytes(data), max_pixels=1_000_000)
            except InvalidImage:
                continue
            assert image.mode == "RGB"
            assert max(image.size) <= 1024
