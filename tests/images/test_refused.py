"""Images that are refused quickly, with little memory, and always by InvalidImage."""

from __future__ import annotations

import contextlib
import random
import struct
import time
import tracemalloc
import warnings
import zlib
from io import BytesIO
from typing import Any

import pytest
from django.core.files.base import ContentFile
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile

from mmsearch_app.images.avif import largest_frame
from mmsearch_app.images.open import InvalidImage, read_bytes
from tests.images.caps import open_image
from tests.pictures import EPS, FORMATS, black_png, encode, png_chunk, red_over_blue, with_chunk


def code_of(data: bytes, **options: Any) -> str:
    with pytest.raises(InvalidImage) as caught:
        open_image(data, **options)
    assert str(caught.value).endswith(".")
    return caught.value.code


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO", "TGA", "JPEG2000", "PDF"])
def test_refuses_every_other_format(kind: str) -> None:
    assert code_of(encode(red_over_blue(), kind)) == "unsupported"


def test_refuses_eps_whatever_its_name_and_size() -> None:
    assert code_of(EPS) == "unsupported"
    assert code_of(b"\xc5\xd0\xd3\xc6" + EPS * 500) == "unsupported"


@pytest.mark.parametrize("data", [b"hello", b"<svg onload='alert(1)'/>", b"\xff\xd8", b"\x89PNG"])
def test_refuses_files_that_are_not_images(data: bytes) -> None:
    assert code_of(data) == "unsupported"


def test_refuses_heic_as_unsupported_and_not_as_broken() -> None:
    heic = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"mif1", 0, b"mif1", b"heic")
    assert code_of(heic + bytes(200)) == "unsupported"


def test_an_empty_file_has_its_own_error() -> None:
    assert code_of(b"") == "empty"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_image_is_broken(kind: str, share: float) -> None:
    noise = Image.effect_noise((200, 150), 80).convert("RGB")
    data = encode(noise, kind)
    assert code_of(data[: int(len(data) * share)]) == "broken"


def test_twelve_thousand_square_is_refused_from_the_header_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = black_png(12_000, 12_000)
    assert len(data) < 200_000
    monkeypatch.setattr(PngImageFile, "load", None)  # a call would be reported as "broken"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert code_of(data) == "too_many_pixels"


def test_the_pixel_cap_is_exact() -> None:
    data = encode(Image.new("L", (100, 50)))
    assert open_image(data, max_pixels=5_000).size == (100, 50)
    assert code_of(data, max_pixels=4_999) == "too_many_pixels"


def test_a_limit_above_pillows_neither_warns_nor_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(encode(red_over_blue()), max_pixels=1_000).size == (40, 20)


def test_pillows_own_limit_gives_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert code_of(encode(red_over_blue(), "WEBP")) == "too_many_pixels"


def test_a_line_of_forty_million_pixels_is_refused() -> None:
    assert code_of(encode(Image.new("1", (1, 4_000_000)))) == "too_many_pixels"


def test_too_many_bytes_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> bytes:
        raise AssertionError("read in spite of its size")

    monkeypatch.setattr(ContentFile, "read", refuse)
    with pytest.raises(InvalidImage) as caught:
        open_image(ContentFile(bytes(101)), max_bytes=100)
    assert caught.value.code == "too_large"


def test_a_file_of_unknown_size_is_read_up_to_the_limit() -> None:
    stream = BytesIO(bytes(10_000))
    with pytest.raises(InvalidImage):
        read_bytes(stream, max_bytes=100)
    assert stream.tell() == 101


def endless() -> dict[str, bytes]:
    """Files of some megabytes, each a small valid image with too many other parts."""
    jpeg = encode(Image.new("RGB", (800, 500), "red"), "JPEG", progressive=True)
    png = encode(red_over_blue())
    pixels = png.index(b"IDAT") - 4
    return {
        "scans": jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * 20_000 + b"\xff\xd9",
        "segments": jpeg[:2] + b"\xff\xe5\x00\x02" * 1_000_000 + jpeg[2:],
        "comments": jpeg[:2] + b"\xff\xfe\x00\x02" * 1_000_000 + jpeg[2:],
        "fill": jpeg[:2] + b"\xff" * 4_000_000 + jpeg[2:],
        "stuffing": jpeg[:2] + b"\xff\x00" * 2_000_000 + jpeg[2:],
        "restarts": jpeg[:2] + b"\xff\xd0" * 2_000_000 + jpeg[2:],
        "nothing else": b"\xff\xd8" + b"\xff" * 4_000_000,
        "chunks": png[:33] + png_chunk(b"abCd", b"") * 300_000 + png[33:],
        "texts": png[:33] + png_chunk(b"tEXt", b"a\0") * 300_000 + png[33:],
        "empty pixels": png[:pixels] + png_chunk(b"IDAT", b"") * 300_000 + png[pixels:],
    }


@pytest.mark.parametrize("name", sorted(endless()))
def test_a_small_file_with_too_many_parts_is_refused_before_it_is_decoded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(ImageFile, "__init__", lambda *given: opened.append(given))
    start = time.process_time()
    assert code_of(endless()[name]) == "broken"
    assert opened == []
    assert time.process_time() - start < 30  # CPU time, since the machine may be busy


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_exif_whose_tags_claim_the_whole_file_is_cheap(kind: str) -> None:
    size, tags = 4 << 20, 2_000
    entries = b"".join(struct.pack("<HHII", 1000 + tag, 7, size - 100, 8) for tag in range(tags))
    exif = b"II*\0" + struct.pack("<IH", 8, tags) + entries + bytes(size - 10 - len(entries))
    start = time.process_time()
    assert open_image(encode(red_over_blue(), kind, exif=exif)).size == (40, 20)
    assert time.process_time() - start < 30  # CPU time, since the machine may be busy


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_compressed_text_bomb_stays_small(kind: bytes) -> None:
    bomb = zlib.compress(bytes(200 << 20), 9)
    head = b"k\0\1\0\0\0" if kind == b"iTXt" else b"k\0\0"
    data = with_chunk(encode(red_over_blue()), kind, head + bomb)
    tracemalloc.start()
    with contextlib.suppress(InvalidImage):
        open_image(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_only_ever_raise_invalid_image(kind: str, seed: int) -> None:
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


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("animated", [False, True])
def test_an_avif_whose_frame_is_larger_than_announced_is_refused_undecoded(
    mode: str, animated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder believes the frame: a hundred bytes would take gigabytes."""
    image = Image.new(mode, (3000, 2000))
    frames = {"save_all": True, "append_images": [image], "duration": 50} if animated else {}
    data = encode(image, "AVIF", speed=10, **frames)
    assert open_image(data).size == (1024, 683)
    monkeypatch.setattr(AvifImageFile, "load", None)
    assert code_of(data.replace(struct.pack(">II", 3000, 2000), struct.pack(">II", 30, 20)))
    sizes = struct.pack(">II", 3000 << 16, 2000 << 16), struct.pack(">II", 30 << 16, 20 << 16)
    spoofed = data.replace(struct.pack(">II", 3000, 2000), struct.pack(">II", 30, 20))
    assert code_of(spoofed.replace(*sizes)) == "broken"


def test_an_avif_whose_items_share_all_bytes_is_refused() -> None:
    data = encode(red_over_blue(), "AVIF")
    item = struct.pack(">HHHII", 1, 0, 1, 0, len(data))
    body = b"\0\0\0\0\x44\0" + struct.pack(">H", 5_000) + item * 5_000
    box = struct.pack(">I4s", 8 + len(body), b"iloc") + body
    with pytest.raises(ValueError, match="many items"):
        largest_frame(data + box)
    assert open_image(data).size == (40, 20)
