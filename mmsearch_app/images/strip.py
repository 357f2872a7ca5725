"""Leave out the parts of an image file that make no pixels, without reading what they contain.

Colour profiles, texts, previews, further frames and unknown parts may be huge, broken or
hostile, and a decoder that looks into them may fail because of them. What is kept: the pixels of
the first frame, palette, transparency, and the EXIF and XMP data that say which side is up.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence

_SMALL = 64 * 1024
_MOST_TEXT = 256 * 1024

_PNG_START = b"\x89PNG\r\n\x1a\n"
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_TRANSPARENT = {0: 2, 2: 6}
"""Bytes of the transparent colour of a PNG, by colour type: grey and RGB."""
_ORIENTATION = (b"Raw profile type exif", b"Raw profile type APP1", b"XML:com.adobe.xmp")
"""Keywords of PNG texts in which some programs write EXIF or XMP data."""

_APP0, _COMMENT, _SCAN = 0xE0, 0xFE, 0xDA
_BARE = (0x01, *range(0xD0, 0xD8))
"""Markers without a body."""
_METADATA = {
    b"JFIF\0": (0xE0, 14),
    b"Exif\0": (0xE1, 6),
    b"http://ns.adobe.com/xap/1.0/\0": (0xE1, 29),
    b"Adobe": (0xEE, 12),
}
"""Start of the metadata of a JPEG that is kept, to its marker and least length."""

_WEBP_FRAMES = (b"VP8 ", b"VP8L", b"ANMF")
_WEBP_PIXELS = (b"VP8X", b"ALPH", b"ANIM", *_WEBP_FRAMES)
_WEBP_METADATA = (b"EXIF", b"XMP ")

_AVIF_METADATA = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))(?:Exif|mime)", re.DOTALL)


def strip(data: bytes) -> bytes:
    """Return the file with only the parts that matter for its first frame's pixels.

    What has no such parts, or is of another format, is returned as it is.
    """
    if data.startswith(b"\xff\xd8"):
        return _strip_jpeg(data)
    if data.startswith(_PNG_START):
        return _strip_png(data)
    if data.startswith(b"RIFF"):
        return _strip_webp(data)
    return _AVIF_METADATA.sub(rb"\1skip", data)


def _strip_png(data: bytes) -> bytes:
    return _join(data, [_PNG_START, *_png_parts(memoryview(data))])


def _png_parts(view: memoryview) -> Iterator[memoryview]:
    colour_type = view[25] if len(view) > 25 else 0  # of the header, which is always first
    place = len(_PNG_START)
    while place + 8 <= len(view):
        kind = bytes(view[place + 4 : place + 8])
        end = place + 12 + int.from_bytes(view[place : place + 4], "big")
        chunk = view[place:end]
        if kind in _CRITICAL or (end <= len(view) and _is_useful(kind, chunk, colour_type)):
            yield chunk
        if kind == b"IEND":
            return
        place = end


def _is_useful(kind: bytes, chunk: memoryview, colour_type: int) -> bool:
    """Return whether an ancillary chunk is undamaged and may change the pixels."""
    if kind == b"tRNS":
        length = len(chunk) - 12
        fits = 0 < length <= 256 if colour_type == 3 else length == _TRANSPARENT.get(colour_type)
        return fits and _is_intact(chunk)
    if kind == b"eXIf":
        return _is_intact(chunk)
    if kind not in (b"tEXt", b"zTXt", b"iTXt") or len(chunk) > _SMALL:
        return False
    keyword, _, rest = bytes(chunk[8:-4]).partition(b"\0")
    return keyword in _ORIENTATION and _is_intact(chunk) and _unpacks(kind, rest)


def _is_intact(chunk: memoryview) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _unpacks(kind: bytes, text: bytes) -> bool:
    """Return whether the text behind the keyword is not packed, or small when unpacked."""
    if kind == b"tEXt" or (kind == b"iTXt" and text[:1] == b"\0"):
        return True
    packed = text[1:] if kind == b"zTXt" else text[2:].split(b"\0", 2)[-1]
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed, _MOST_TEXT)
    except zlib.error:
        return False
    return not unpacker.unconsumed_tail


def _strip_jpeg(data: bytes) -> bytes:
    return _join(data, list(_jpeg_parts(memoryview(data))))


def _jpeg_parts(view: memoryview) -> Iterator[memoryview]:
    """Yield the start, the segments of the header that matter, and all from the first scan on."""
    yield view[:2]
    once: set[bytes] = set()
    for marker, place, end in _jpeg_segments(view):
        if _matters(marker, bytes(view[place + 4 : min(end, place + 40)]), once):
            yield view[place:end]


def _jpeg_segments(view: memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment of the header, and of all behind it as one."""
    place = 2
    while place + 4 <= len(view):
        marker = view[place + 1]
        if view[place] != 0xFF or marker in (0x00, 0xFF):  # fill between two segments
            place += 1
        elif marker in _BARE:
            place += 2
        else:
            length = int.from_bytes(view[place + 2 : place + 4], "big")
            end = len(view) if marker == _SCAN else place + 2 + length
            yield marker, place, end
            place = end


def layers_of_first_scan(jpeg: bytes) -> int:
    """Return how many layers the first scan of a JPEG has, or 0 if there is no scan."""
    view = memoryview(jpeg)
    scans = (place for marker, place, _ in _jpeg_segments(view) if marker == _SCAN)
    place = next(scans, len(view))
    return int.from_bytes(view[place + 4 : place + 5], "big")


def _matters(marker: int, body: bytes, once: set[bytes]) -> bool:
    """Return whether a segment changes the pixels; of each kind of metadata only the first.

    `body` is its first bytes.
    """
    if marker != _COMMENT and marker not in range(_APP0, _APP0 + 16):
        return True
    for start, (found_in, length) in _METADATA.items():
        if marker == found_in and body.startswith(start) and len(body) >= length:
            is_first = start not in once
            once.add(start)
            return is_first
    return False


def _strip_webp(data: bytes) -> bytes:
    parts = list(_webp_parts(memoryview(data)))
    size = 4 + sum(map(len, parts))
    head = b"RIFF" + size.to_bytes(4, "little") + b"WEBP"
    if not data.startswith(head):
        return b"".join([head, *parts])
    return _join(data, [head, *parts])


def _webp_parts(view: memoryview) -> Iterator[memoryview]:
    """Yield the chunks up to the first frame, and the metadata behind it that is complete."""
    place, has_frame = 12, False
    while place + 8 <= len(view):
        kind = bytes(view[place : place + 4])
        end = place + 8 + int.from_bytes(view[place + 4 : place + 8], "little")
        is_pixels = kind in _WEBP_PIXELS and not has_frame
        if is_pixels or (kind in _WEBP_METADATA and end <= len(view)):
            yield view[place : end + end % 2]
        has_frame |= kind in _WEBP_FRAMES
        place = end + end % 2


def _join(data: bytes, parts: Sequence[memoryview | bytes]) -> bytes:
    """Return the parts as one file; the file itself if they are all of it."""
    return data if sum(map(len, parts)) == len(data) else b"".join(parts)
