"""Open untrusted images safely, in one normal form, for indexing and searching alike."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import IO, TYPE_CHECKING, Literal, TypeAlias, cast

from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _
from PIL import ExifTags, Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from mmsearch_app.images.avif import largest_frame
from mmsearch_app.images.bombs import is_bomb
from mmsearch_app.images.cost import decoding_bytes
from mmsearch_app.images.strip import strip
from mmsearch_app.inference import Admission, Crowded, return_memory
from mmsearch_app.translation import too_large_message, too_many_pixels_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.core.files import File
    from django_stubs_ext import StrOrPromise
    from PIL.ImageFile import ImageFile

    Source: TypeAlias = bytes | IO[bytes] | File[bytes]
    _Memory: TypeAlias = Callable[[Image.Image, tuple[int, int], int], AbstractContextManager[None]]

Code: TypeAlias = Literal["empty", "too_large", "too_many_pixels", "unsupported", "broken"]

_MAX_SIDE = 65_535
"""The longest side that JPEG, WebP and AVIF allow."""
_PADDING = 64
"""Pixels by which frames may exceed the image: they consist of whole blocks."""
_BAND_PIXELS = 1 << 19
"""Pixels that are converted and reduced at a time."""
_BAND_BYTES = 16
"""Memory for each of them: up to four images of four bytes a pixel."""
_DRAFTS = (8, 4, 2, 1)
"""Whole numbers by which a JPEG is reduced while it is decoded."""
_MUCH_SMALLER = 1.5
"""From this ratio on, a filter that is half as dear is as good once the model has averaged, too:
within 2 of 255 on photographs resampled to 1024, then to 224 pixels."""
_PLAIN = ("L", "RGB")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


_memory = Admission()
"""The memory in which all threads of this process decode."""


class InvalidImage(ValueError):
    """The image cannot be used; the message is written for visitors.

    The message is lazy, so that it is in the language of whoever reads it: images are also opened
    in threads of the worker.

    `code` is "empty", "too_large" (bytes), "too_many_pixels", "unsupported" (not one of the
    four formats) or "broken" (damaged, incomplete or hostile).
    """

    def __init__(self, message: StrOrPromise, *, code: Code) -> None:
        super().__init__(message)
        self.code: Code = code


def open_image(
    source: Source | Image.Image,
    *,
    max_bytes: int,
    max_pixels: int,
    max_decode_bytes: int,
    max_wait: float | None = None,
    longest_side: int = 1024,
    enough: int | None = None,
) -> Image.Image:
    """Return the image as RGB, upright, flattened on white, without metadata.

    Neither side is longer than `longest_side`. `source` is the bytes or a binary file, which is
    read from its start, or an image opened elsewhere. JPEG, PNG, WebP and AVIF are recognised by
    content, whatever the name says; an animation is its first frame. Colour profiles are ignored,
    in indexing and searching alike, and so is every other part of the file that makes no pixels,
    so that a broken or hostile one does no harm.

    Whoever needs no more than `enough` pixels on the shorter side says so: a large image is then
    reduced by a whole number, a JPEG while it is decoded, which is several times cheaper than to
    resample it to `longest_side`. Averaged further down, both look the same to rounding.

    `max_pixels` is width times height, read from the header before anything is decoded;
    `max_bytes` does not apply to an `Image`. All threads of the process together decode within
    `max_decode_bytes` of memory: whoever finds it taken waits.

    Raises InvalidImage for anything wrong with the image, also if it alone needs more memory, and
    Crowded if the memory is not free within `max_wait` seconds (None: wait as long as it takes).
    Errors of the storage pass through.
    """
    memory = partial(_occupy, max_decode_bytes=max_decode_bytes, max_wait=max_wait)
    target = _Target(longest_side=longest_side, enough=enough)
    if isinstance(source, Image.Image):
        with _tamed():
            return _normalise(source, b"", max_pixels, target, memory)
    data = read_bytes(source, max_bytes=max_bytes)
    with _tamed():
        return _decode(data, max_pixels, target, memory)


def read_bytes(source: Source, *, max_bytes: int) -> bytes:
    """Read the whole file once, from its start. Raises InvalidImage if it is empty or too large.

    A model's file that is not open is opened and closed again; an open one stays open. If the
    file has a `size`, that is checked first: a remote storage fetches the whole object at its
    first read. Errors of the storage pass through.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    else:
        size = getattr(source, "size", None) or 0
        if size > max_bytes:
            raise _too_large(max_bytes)
        with _from_start(source) as file:
            # Python provides all the memory that a read may need: more takes 0.1 ms a file.
            data = file.read((size or max_bytes) + 1)
            if len(data) != size:
                data += file.read(max_bytes + 1 - len(data))
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    if not data:
        raise InvalidImage(_("The file is empty."), code="empty")
    return data


def digest(data: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def encode_jpeg(image: Image.Image, *, longest_side: int = 1024, quality: int = 85) -> bytes:
    """Encode without metadata, scaled down to `longest_side` if needed."""
    plain = _flatten(image)
    if plain is image:
        plain = image.copy()
    plain.info = {}
    plain.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    plain.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _from_start(source: IO[bytes] | File[bytes]) -> AbstractContextManager[IO[bytes] | File[bytes]]:
    if source.closed and hasattr(source, "open"):
        return cast("File[bytes]", source).open("rb")
    if source.seekable():
        source.seek(0)
    return nullcontext(source)


def _recognise(data: bytes) -> Callable[[BytesIO], ImageFile] | None:
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _LeanWebP
    if data[4:8] == b"ftyp" and (b"avif" in data[8:64] or b"avis" in data[8:64]):
        return AvifImageFile
    return None


@contextmanager
def _tamed() -> Iterator[None]:
    """Turn every exception of a decoder into InvalidImage."""
    try:
        yield
    except (InvalidImage, Crowded):
        raise
    except Image.DecompressionBombError as error:
        raise _too_many_pixels() from error
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, EOFError, …
        raise InvalidImage(_("This picture is damaged or incomplete."), code="broken") from error


class _LeanWebP(WebPImageFile):
    """Lets go of the decoder, which holds two canvases, before its frame is copied."""

    def _get_next(self) -> tuple[bytes, int, int]:
        frame = super()._get_next()
        del self._decoder
        return frame


def _decode(data: bytes, max_pixels: int, target: _Target, memory: _Memory) -> Image.Image:
    plugin = _recognise(data)
    if plugin is None:
        raise InvalidImage(_("This is no JPEG, PNG, WebP or AVIF picture."), code="unsupported")
    if is_bomb(data):
        raise InvalidImage(_("This picture has too many parts."), code="broken")
    data = strip(data)
    # The plugin itself, not Image.open, which warns and raises by Pillow's own global limit.
    with plugin(BytesIO(data)) as image:
        return _normalise(image, data, max_pixels, target, memory)


def _normalise(
    image: Image.Image, data: bytes, max_pixels: int, target: _Target, memory: _Memory
) -> Image.Image:
    own = bool(data)  # opened here, not by the caller
    width, height = full_size = image.size
    if width * height > max_pixels or max(width, height) > _MAX_SIDE:
        raise _too_many_pixels()
    if isinstance(image, AvifImageFile) and largest_frame(data) > _padded(width, height):
        raise InvalidImage(_("This picture is damaged or incomplete."), code="broken")
    if isinstance(image, JpegImageFile):
        image.draft("RGB", target.at_least(full_size))
    factor, size = target.shrink(image.size)
    most, after = decoding_bytes(image, data, full_size)
    needed = max(most, after + _shrinking_bytes(image, factor, size, own=own))
    with memory(image, full_size, needed):
        image.load()
        upright = _turn_upright(_shrink(image, factor, size, own=own), image)
        upright.info = {}
        if own:  # its memory is free before another image takes it
            image.close()
            return_memory(needed)
    return upright


def _padded(width: int, height: int) -> int:
    """Return the pixels of the largest frame that a decoder needs for an image of this size."""
    return (width + _PADDING) * (height + _PADDING)


@contextmanager
def _occupy(
    image: Image.Image,
    size: tuple[int, int],
    needed: int,
    *,
    max_decode_bytes: int,
    max_wait: float | None,
) -> Iterator[None]:
    """Occupy the memory that an image needs. Raises InvalidImage if that is too much, Crowded."""
    if needed > max_decode_bytes:
        pixels = size[0] * size[1] * max_decode_bytes / needed
        kind = image.format or image.mode
        raise InvalidImage(lazy(too_many_pixels_message, str)(pixels, kind), code="too_many_pixels")
    with _memory.admit("decode", units=needed, capacity=max_decode_bytes, most_seconds=max_wait):
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """How small an image is to become."""

    longest_side: int
    enough: int | None
    """Pixels of the shorter side down to which an image may be reduced, if that is cheap."""

    def at_least(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size below which a JPEG of this size is not to be decoded."""
        width, height = size
        for factor in _DRAFTS:
            draft = -(-width // factor), -(-height // factor)
            if self._by_whole_number(draft):
                return width // factor, height // factor
        scale = self.longest_side / max(size)
        return int(width * scale) or 1, int(height * scale) or 1

    def shrink(self, size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
        """Return the whole number by which an image is reduced, and its final size.

        If the two differ, it is resampled once more.
        """
        width, height = size
        if factor := self._by_whole_number(size):
            return factor, (-(-width // factor), -(-height // factor))
        longest = max(size)
        if longest <= self.longest_side:
            return 1, size
        scale = self.longest_side / longest
        final = (max(1, round(width * scale)), max(1, round(height * scale)))
        return longest // self.longest_side, final

    def _by_whole_number(self, size: tuple[int, int]) -> int:
        """Return by what an image can be reduced without being resampled; 0 if it cannot."""
        factor = min(size) // self.enough if self.enough else 0
        return factor if factor and max(size) <= factor * self.longest_side else 0


def _shrinking_bytes(image: Image.Image, factor: int, final: tuple[int, int], *, own: bool) -> int:
    """Return the memory that `_shrink` and turning its result take beside the image itself."""
    width, height = -(-image.width // factor), -(-image.height // factor)
    plain = _is_plain(image)
    copies = (factor > 1 or not own) + (image.mode != "RGB") if plain else 2
    band = 0 if plain else min(image.width * image.height, _BAND_PIXELS) * _BAND_BYTES
    resampled = final[0] * (height + final[1]) if final != (width, height) else 0
    turned = 2 * final[0] * final[1]
    return band + 4 * max(copies * width * height + resampled, turned)


def _shrink(image: Image.Image, factor: int, size: tuple[int, int], *, own: bool) -> Image.Image:
    """Return it flattened, in that size: reduced by a whole number, then resampled if needed.

    What cannot be reduced as it is gets converted band by band, so that one image of the full
    size is in memory, not three. The result is a copy, unless the pixels are our `own`.
    """
    if not _is_plain(image):
        small = _reduce_in_bands(image, factor)
    elif own and factor == 1:
        small = _flatten(image._new(image.im))  # not of the file's class
    else:
        small = _flatten(image.reduce(factor))
    if small.size == size:
        return small
    box = (0, 0, image.width / factor, image.height / factor)
    much = max(box) >= _MUCH_SMALLER * max(size)
    return small.resize(size, Image.Resampling.HAMMING if much else Image.Resampling.BICUBIC, box)


def _is_plain(image: Image.Image) -> bool:
    """Return whether the image can be reduced without a copy of the whole."""
    return image.mode in _PLAIN and not image.has_transparency_data


def _reduce_in_bands(image: Image.Image, factor: int) -> Image.Image:
    width, height = image.size
    small = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = max(1, _BAND_PIXELS // (width * factor)) * factor
    for top in range(0, height, rows):
        band = _without_palette(image.crop((0, top, width, min(top + rows, height))))
        small.paste(_flatten(band.reduce(factor)), (0, top // factor))
    return small


def _without_palette(band: Image.Image) -> Image.Image:
    """Return the band in a mode in which pixels can be averaged."""
    if band.mode in ("LA", "RGBA"):
        return band
    return band.convert("RGBA") if band.has_transparency_data else _flatten(band)


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGB", layer.size, "white")
    white.paste(layer, mask=layer.getchannel("A"))
    return white


def _turn_upright(image: Image.Image, original: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(original.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata does not make the pixels worse
        return image
    return image if turn is None else image.transpose(turn)


def _too_large(max_bytes: int) -> InvalidImage:
    return InvalidImage(lazy(too_large_message, str)(max_bytes), code="too_large")


def _too_many_pixels() -> InvalidImage:
    return InvalidImage(_("This picture has too many pixels."), code="too_many_pixels")
