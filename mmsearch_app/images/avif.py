"""The size of the frames that an AVIF file really contains.

Decoders believe the frames, not the size that the file announces: a file that announces 100 by
100 pixels may contain a frame of 200 megapixels, which is decoded before it is scaled down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

_CONTAINERS = {b"meta": 4, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}
"""Boxes with boxes inside, to the bytes before the first of these."""
_MOST_BOXES = 10_000
_MOST_UNITS = 10_000
"""Units of an item that are looked at. A frame has one unit for each of its tiles at most."""
_MOST_SHARE = 4
"""How often the bytes of a file may belong to an item."""
_SEQUENCE_HEADER = 1


def largest_frame(data: bytes) -> int:
    """Return the pixels of the largest frame that the file announces to the decoder.

    Raises ValueError or IndexError if the file is damaged.
    """
    boxes = dict[bytes, list[tuple[int, int]]]()
    for count, (kind, start, end) in enumerate(_boxes(data, 0, len(data))):
        boxes.setdefault(kind, []).append((start, end))
        if count > _MOST_BOXES:
            msg = "Too many boxes."
            raise ValueError(msg)
    inner = next(iter(boxes.get(b"idat", [])), (0, 0))[0]
    parts = [
        *(item for start, end in boxes.get(b"iloc", []) for item in _items(data[start:end], inner)),
        *_first_samples(data, boxes),
    ]
    if sum(end - start for part in parts for start, end in part) > _MOST_SHARE * len(data):
        msg = "The same bytes belong to many items."
        raise ValueError(msg)
    found = (_frames(b"".join(data[start:end] for start, end in part)) for part in parts)
    return max((pixels for frames in found for pixels in frames), default=0)


def _first_samples(
    data: bytes, boxes: Mapping[bytes, Sequence[tuple[int, int]]]
) -> Iterator[list[tuple[int, int]]]:
    """Yield the place of the first sample of each track of an animation."""
    sizes = [start for start, _ in boxes.get(b"stsz", [])]
    for kind, width in ((b"stco", 4), (b"co64", 8)):
        for start, _ in boxes.get(kind, []):
            offset = int.from_bytes(data[start + 8 : start + 8 + width], "big")
            for size in sizes:  # whichever is this track's: the others are as large or larger
                length = int.from_bytes(data[size + 4 : size + 8], "big")
                length = length or int.from_bytes(data[size + 12 : size + 16], "big")
                yield [(offset, min(len(data), offset + length))]


def _boxes(data: bytes, place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the content of each box, and of those in containers."""
    while place + 8 <= end:
        size, start = int.from_bytes(data[place : place + 4], "big"), place + 8
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), place + 16
        stop = min(end, place + size) if size else end
        if stop < start:
            return
        kind = data[place + 4 : place + 8]
        yield kind, start, stop
        if kind in _CONTAINERS:
            yield from _boxes(data, start + _CONTAINERS[kind], stop)
        place = stop


def _items(iloc: bytes, inner: int) -> Iterator[list[tuple[int, int]]]:
    """Yield the places of each item's data; `inner` is where the metadata's own data begins."""
    version = iloc[0]
    bits = _Bits(iloc[4:])
    offset_size, length_size, base_size, index_size = (8 * bits.read(4) for _ in range(4))
    for _ in range(bits.read(32 if version == 2 else 16)):
        bits.read(32 if version == 2 else 16)
        method = bits.read(16) & 15 if version else 0
        bits.read(16)
        base = bits.read(base_size) + (inner if method == 1 else 0)
        places = []
        for _ in range(bits.read(16)):
            bits.read(index_size if version else 0)
            start, length = base + bits.read(offset_size), bits.read(length_size)
            places.append((start, start + length))
        yield places


def _frames(item: bytes) -> Iterator[int]:
    """Yield the pixels that each sequence header in the item allows; other items have none."""
    place = count = 0
    while place < len(item) and (count := count + 1) <= _MOST_UNITS:
        head = item[place]
        place += 2 if head & 4 else 1
        size = len(item) - place
        if head & 2:
            size, place = _leb128(item, place)
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            try:
                yield _pixels(_Bits(item[place : place + min(size, 256)]))
            except IndexError:  # not a sequence header: another kind of item
                return
        place += size


def _leb128(item: bytes, place: int) -> tuple[int, int]:
    """Return the number at a place, and the place behind it."""
    value = 0
    for shift in range(0, 56, 7):
        if place >= len(item):
            break
        byte = item[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
    return value, place


class _Bits:
    """Reads numbers bit by bit. Raises IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def read(self, count: int) -> int:
        end = self._place + count
        if end > 8 * len(self._data):
            raise IndexError
        value = int.from_bytes(self._data[self._place // 8 : -(-end // 8)], "big") >> (-end % 8)
        self._place = end
        return value & ((1 << count) - 1)


def _pixels(bits: _Bits) -> int:
    """Return the largest width times height that a sequence header allows (AV1, 5.5.1)."""
    bits.read(4)  # profile, still picture
    if bits.read(1):  # a reduced header
        bits.read(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return (bits.read(width_bits) + 1) * (bits.read(height_bits) + 1)


def _skip_operating_points(bits: _Bits) -> None:
    delay = 0
    if bits.read(1):  # timing
        bits.read(64)
        if bits.read(1):
            zeros = 0
            while not bits.read(1):
                zeros += 1
            bits.read(zeros)
        if bits.read(1):  # decoder model
            delay = bits.read(5) + 1
            bits.read(42)
    has_display_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if delay and bits.read(1):
            bits.read(2 * delay + 1)
        if has_display_delay and bits.read(1):
            bits.read(4)
