"""Recognise files that are small to send and endless to decode, by their structure alone.

The number of pixels is limited elsewhere. What is left are files that keep a decoder busy with
parts that paint nothing; each limit is far above what encoders write.
"""

from __future__ import annotations

import re
from typing import Literal

_MAX_SCANS = 50
"""Passes of a progressive JPEG. Encoders write about ten; a file of 8 MB may contain 130,000, and
at 40 megapixels each takes 25 ms: an hour of work."""
_MAX_SEGMENTS = 2_000
"""Segments of a JPEG. Two million empty ones take Pillow 4.6 s and 280 MB."""
_MAX_FILL = 1_000
"""Bytes between two segments of a JPEG's header, which Pillow reads one by one."""
_MAX_CHUNKS = 50_000
"""Chunks of a PNG or WebP. Encoders write at most one for every 4 KB."""

_SEGMENT = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
_END, _SCAN = 0xD9, 0xDA


def is_bomb(data: bytes) -> bool:
    """Return whether a JPEG, PNG or WebP has more parts than any image needs."""
    if data.startswith(b"\xff\xd8"):
        return _is_jpeg_bomb(data)
    if data.startswith(b"\x89PNG"):
        return _has_many_chunks(data, start=8, length_at=0, around=12, order="big")
    is_webp = data.startswith(b"RIFF")
    return is_webp and _has_many_chunks(data, start=12, length_at=4, around=8, order="little")


def _is_jpeg_bomb(data: bytes) -> bool:
    place, scans, segments = 2, 0, 0
    while found := _SEGMENT.search(data, place):
        if not scans and found.start() - place > _MAX_FILL:
            return True
        marker, place = found[1][0], found.end()
        if marker == _END:  # what follows (a video, a second view) is not read
            return False
        place += int.from_bytes(data[place : place + 2], "big")
        scans += marker == _SCAN
        segments += 1
        if scans > _MAX_SCANS or segments > _MAX_SEGMENTS:
            return True
    return not scans and len(data) - place > _MAX_FILL


def _has_many_chunks(
    data: bytes, *, start: int, length_at: int, around: int, order: Literal["big", "little"]
) -> bool:
    place, chunks = start, 0
    while place < len(data):
        length = data[place + length_at : place + length_at + 4]
        place += around + int.from_bytes(length, order)
        chunks += 1
        if chunks > _MAX_CHUNKS:
            return True
    return False
