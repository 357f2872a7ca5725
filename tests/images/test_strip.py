"""Parts of a file that make no pixels do no harm, whatever they contain."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch_app.images.open import InvalidImage
from mmsearch_app.images.strip import strip
from tests.images.caps import open_image
from tests.pictures import FORMATS, PICTURE, encode, png_chunk, with_chunk

HUGE = zlib.compress(bytes(3 << 20))
"""Three MiB once unpacked, which Pillow refuses to unpack."""
NOISE = np.random.default_rng(1).bytes(2 << 20)
HEAD = 33
MODES = {
    "JPEG": ["L", "RGB", "CMYK"],
    "PNG": ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16"],
    "WEBP": ["RGB", "RGBA", "L", "LA", "P"],
    "AVIF": ["RGB", "RGBA", "L", "LA"],
}


def in_mode(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.asarray(PICTURE.convert("L")).astype(np.uint16) * 257)
    if mode in ("RGBA", "LA", "PA"):
        clear = PICTURE.convert("RGBA")
        clear.putalpha(PICTURE.convert("L"))
        return clear.convert(mode) if mode == "LA" else clear
    return PICTURE.convert(mode)


def pixels(data: bytes) -> Any:
    return np.asarray(open_image(data))


def sideways(kind: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(PICTURE, kind, exif=exif.tobytes(), quality=95, **options)


def webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


PNG_PARTS = {
    "a profile that unpacks to megabytes": png_chunk(b"iCCP", b"p\0\0" + HUGE),
    "a profile without a name": png_chunk(b"iCCP", b""),
    "a profile packed in an unknown way": png_chunk(b"iCCP", b"p\0\7" + HUGE),
    "a text that unpacks to megabytes": png_chunk(b"zTXt", b"Comment\0\0" + HUGE),
    "a foreign text that unpacks to megabytes": png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + HUGE),
    "EXIF in a text that unpacks to megabytes": png_chunk(
        b"zTXt", b"Raw profile type exif\0\0" + HUGE
    ),
    "XMP that unpacks to megabytes": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + HUGE),
    "a text that is not packed": png_chunk(b"zTXt", b"Raw profile type exif\0\0nothing"),
    "a wrong packing method": png_chunk(b"zTXt", b"Raw profile type exif\0\7nothing"),
    "an XMP text without its fields": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0"),
    "a large text": png_chunk(b"tEXt", b"Comment\0" + NOISE),
    "a broken EXIF": png_chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
    "a large EXIF": png_chunk(b"eXIf", NOISE),
    "an unknown part": png_chunk(b"vpAg", NOISE),
    "a part with an impossible name": struct.pack(">I", 3) + b"a\0b!" + bytes(7),
    "a wrong checksum": png_chunk(b"tEXt", b"Comment\0hello")[:-4] + b"ouch",
    "a wrong checksum of a profile": png_chunk(b"iCCP", b"p" + bytes(2) + HUGE)[:-4] + b"ouch",
    "a broken gamma": png_chunk(b"gAMA", b"\0"),
    "broken primaries": png_chunk(b"cHRM", b"\0"),
    "an empty intent": png_chunk(b"sRGB", b""),
    "a broken size in metres": png_chunk(b"pHYs", b"\0"),
    "an empty transparent colour": png_chunk(b"tRNS", b""),
    "a transparent colour of the wrong length": png_chunk(b"tRNS", bytes(257)),
    "a broken animation": png_chunk(b"acTL", b"\0\0"),
    "a broken frame": png_chunk(b"fcTL", b"\0\0"),
    "frames without end": png_chunk(b"acTL", struct.pack(">II", 0xFFFFFF, 0)),
}


@pytest.mark.parametrize("name", PNG_PARTS)
@pytest.mark.parametrize("mode", MODES["PNG"])
def test_a_png_keeps_its_pixels_whatever_else_it_contains(mode: str, name: str) -> None:
    data = encode(in_mode(mode))
    end = data.rindex(b"IEND") - 4
    part = PNG_PARTS[name]
    for spoiled in (data[:HEAD] + part + data[HEAD:], data[:end] + part + data[end:]):
        assert (pixels(spoiled) == pixels(data)).all()


JPEG_PARTS = {
    "megabytes of profile": b"".join(
        jpeg_segment(0xE2, b"ICC_PROFILE\0" + bytes((number, 100)) + NOISE[:65_000])
        for number in range(1, 101)
    ),
    "a profile that lacks parts": jpeg_segment(0xE2, b"ICC_PROFILE\0\7\3abc"),
    "a profile that is cut off": jpeg_segment(0xE2, b"ICC_PROFILE\0"),
    "a broken preview": jpeg_segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
    "a broken EXIF": jpeg_segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
    "many EXIFs": jpeg_segment(0xE1, b"Exif\0\0" + NOISE[:65_000]) * 100,
    "broken XMP": jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta"),
    "a broken Photoshop resource": jpeg_segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0"),
    "an unknown part": jpeg_segment(0xE9, NOISE[:65_000]) * 100,
    "a comment": jpeg_segment(0xFE, NOISE[:65_000]) * 100,
    "a cut-off Adobe part": jpeg_segment(0xEE, b"Adob"),
    "a cut-off JFIF": jpeg_segment(0xE0, b"JFIF"),
    "fill": b"\xff" * 100,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", JPEG_PARTS)
@pytest.mark.parametrize("mode", MODES["JPEG"])
def test_a_jpeg_keeps_its_pixels_whatever_else_it_contains(mode: str, name: str) -> None:
    data = encode(in_mode(mode), "JPEG")
    behind = 4 + int.from_bytes(data[4:6], "big")  # its first segment, JFIF or Adobe's
    spoiled = data[:behind] + JPEG_PARTS[name] + data[behind:]
    assert (pixels(spoiled) == pixels(data)).all()


@pytest.mark.parametrize("kind", [b"ICCP", b"EXIF", b"XMP ", b"abcd"])
@pytest.mark.parametrize("mode", MODES["WEBP"])
def test_a_webp_keeps_its_pixels_whatever_else_it_contains(mode: str, kind: bytes) -> None:
    data = encode(in_mode(mode).convert("RGBA" if "A" in mode else "RGB"), "WEBP", xmp=b"<x/>")
    assert data[12:16] == b"VP8X"
    good = pixels(data)
    for body in (b"", b"?", NOISE):
        chunk = webp_chunk(kind, body)
        for place in (30, len(data)):
            spoiled = data[:place] + chunk + data[place:]
            size = struct.pack("<I", len(spoiled) - 8)
            assert (pixels(spoiled[:4] + size + spoiled[8:]) == good).all()
    assert (pixels(data + chunk[:-1000]) == good).all()
    assert (pixels(data + b"EXIF\xff\xff\xff\xfftail") == good).all()


def test_a_webp_that_announces_another_length_opens() -> None:
    data = encode(PICTURE, "WEBP")
    for size in (0, len(data), 0xFFFFFFF0):
        assert (pixels(data[:4] + struct.pack("<I", size) + data[8:]) == pixels(data)).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", MODES["AVIF"])
def test_an_avif_keeps_its_pixels_whatever_else_it_contains(mode: str) -> None:
    image = in_mode(mode)
    good = pixels(encode(image, "AVIF"))
    exif = Image.Exif()
    exif[0x010F] = "maker"
    broken = encode(image, "AVIF", exif=exif).replace(exif.tobytes()[6:14], bytes(8))
    assert exif.tobytes()[6:14] not in broken
    assert (pixels(broken) == good).all()
    for extra in ({"xmp": NOISE}, {"icc_profile": NOISE}):
        assert (pixels(encode(image, "AVIF", **extra)) == good).all()


@pytest.mark.parametrize("kind", FORMATS)
def test_what_says_which_side_is_up_is_kept(kind: str) -> None:
    data = sideways(kind)
    assert open_image(data).size == PICTURE.size[::-1]
    profile = sideways(kind, icc_profile=NOISE[:60_000])
    assert (pixels(profile) == pixels(data)).all()


@pytest.mark.parametrize("packed", [False, True])
def test_the_orientation_in_a_text_of_a_png_is_kept(packed: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes()
    text = f"\nexif\n{len(body):8}\n{body.hex()}\n".encode()
    part = (b"zTXt", b"\0\0" + zlib.compress(text)) if packed else (b"tEXt", b"\0" + text)
    data = with_chunk(encode(PICTURE), part[0], b"Raw profile type exif" + part[1])
    assert open_image(data).size == PICTURE.size[::-1]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_orientation_in_xmp_is_kept(kind: str) -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    if kind == "JPEG":
        data = encode(PICTURE, "JPEG", xmp=xmp)
    else:
        data = with_chunk(encode(PICTURE), b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    assert open_image(data).size == PICTURE.size[::-1]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_plain_file_is_passed_on_as_it_is(kind: str) -> None:
    data = encode(PICTURE, kind)
    assert strip(data) is data or strip(data) == data


def test_a_second_frame_and_a_tail_are_left_out() -> None:
    frames = [PICTURE, PICTURE.transpose(Image.Transpose.ROTATE_180)]
    for kind in ("PNG", "WEBP"):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
        assert len(strip(data)) < len(data) * 0.7
        assert (pixels(data + NOISE) == pixels(data)).all()


def test_damage_to_the_pixels_themselves_is_still_refused() -> None:
    png = encode(PICTURE)
    for spoiled in (
        png[:29] + b"ouch" + png[33:],  # the header's checksum
        png.replace(b"IDAT", b"idAT"),
        png[:HEAD] + struct.pack(">I", 1 << 30) + b"tEXt" + png[HEAD:],
    ):
        with pytest.raises(InvalidImage):
            open_image(spoiled)


def test_a_webp_of_endless_parts_is_refused() -> None:
    data = encode(PICTURE, "WEBP", xmp=b"<x/>")
    with pytest.raises(InvalidImage, match="too many parts"):
        open_image(data[:30] + webp_chunk(b"abcd", b"") * 60_000 + data[30:])


def test_pillow_alone_refuses_such_files() -> None:
    """Or else this module is not needed any more."""
    data = with_chunk(encode(PICTURE), b"iCCP", b"p\0\0" + HUGE)
    with pytest.raises((ValueError, OSError)):
        Image.open(BytesIO(data)).load()
