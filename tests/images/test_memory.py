"""How much memory decoding takes: never more than the budget, for all threads together."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ImageFile import ImageFile

from mmsearch_app.images import open as opening
from mmsearch_app.images.open import InvalidImage
from mmsearch_app.inference import Crowded
from tests.images.caps import open_image
from tests.pictures import encode

WIDTH, HEIGHT = 3000, 2000
FLAT_WEBP = encode(Image.new("RGB", (4000, 2400), "red"), "WEBP", lossless=True)
"""A few bytes that decode to 9.6 megapixels."""


def varied(mode: str = "RGB") -> Image.Image:
    small = np.random.default_rng(0).integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    return Image.fromarray(small).resize((WIDTH, HEIGHT)).convert(mode)


FILES: dict[str, Callable[[], bytes]] = {
    "WebP, lossless": lambda: encode(varied(), "WEBP", lossless=True, quality=0, method=0),
    "WebP, flat": lambda: FLAT_WEBP,
    "WebP, transparent": lambda: encode(varied("RGBA"), "WEBP", quality=50, method=0),
    "WebP, animated": lambda: encode(
        varied(), "WEBP", method=0, save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))]
    ),
    "AVIF": lambda: encode(varied(), "AVIF", speed=10),
    "AVIF, every colour at full size": lambda: encode(
        varied("RGBA"), "AVIF", speed=10, subsampling="4:4:4"
    ),
    "PNG": lambda: encode(varied(), compress_level=1),
    "PNG, transparent": lambda: encode(varied("RGBA"), compress_level=1),
    "PNG, palette": lambda: encode(varied().quantize(64), compress_level=1),
    "PNG, 16 bits": lambda: encode(
        Image.fromarray(np.full((HEIGHT, WIDTH), 9_000, np.uint16)), compress_level=1
    ),
    "PNG, one bit": lambda: encode(varied("1"), compress_level=1),
    "JPEG": lambda: encode(varied(), "JPEG"),
    "JPEG, progressive": lambda: encode(varied(), "JPEG", progressive=True, subsampling=0),
    "JPEG, four inks": lambda: encode(varied("CMYK"), "JPEG", progressive=True),
}

MEASURE = """
import sys, django
django.setup()
from mmsearch_app.images import open as opening
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
data = open(sys.argv[1], "rb").read()
units = []
admit = opening._memory.admit
def note(kind, *, units: int, **rest):
    globals()["units"].append(units)
    return admit(kind, units=units, **rest)
opening._memory.admit = note
before = peak()
caps = dict(max_bytes=1 << 30, max_pixels=1 << 30, max_decode_bytes=1 << 33)
opening.open_image(data, enough=int(sys.argv[2]) or None, **caps)
print(peak() - before, *units)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize(
    ("name", "enough"),
    [
        *((name, 0) for name in FILES),
        *((name, 448) for name in ("PNG", "PNG, transparent", "JPEG", "JPEG, progressive")),
    ],
)
def test_an_image_takes_no_more_memory_than_it_was_estimated_to(
    name: str, enough: int, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(FILES[name]())
    command = [sys.executable, "-c", MEASURE, str(file), str(enough)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    taken, estimated = map(int, output.split())
    assert taken <= estimated + (4 << 20)  # what the libraries load at their first call


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_an_image_that_alone_needs_too_much_is_refused_undecoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(Image.new("RGB", (2000, 1000), "red"), kind)
    monkeypatch.setattr(ImageFile, "load", None)  # a call would be reported as "broken"
    with pytest.raises(InvalidImage, match=rf"as {kind} at most 0\.\d+ megapixels") as caught:
        open_image(data, max_decode_bytes=5 << 20)
    assert caught.value.code == "too_many_pixels"


def test_a_large_jpeg_needs_little_because_it_is_decoded_small() -> None:
    data = encode(Image.new("RGB", (6000, 4000), "red"), "JPEG")
    assert open_image(data, max_decode_bytes=32 << 20).size == (1024, 683)
    with pytest.raises(InvalidImage):  # several passes are kept at full size
        open_image(
            encode(Image.new("RGB", (6000, 4000)), "JPEG", progressive=True),
            max_decode_bytes=32 << 20,
        )


def test_eight_hostile_images_at_once_stay_within_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = open_and_count(monkeypatch, max_decode_bytes=320 << 20)
    decoded: set[int] = set()
    at_once: list[int] = []
    load, finish = opening.WebPImageFile.load, opening._turn_upright

    def begin(self: Any) -> Any:
        decoded.add(id(self))
        at_once.append(len(decoded))
        return load(self)

    def end(image: Image.Image, original: Image.Image) -> Image.Image:
        decoded.remove(id(original))
        return finish(image, original)

    monkeypatch.setattr(opening.WebPImageFile, "load", begin)
    monkeypatch.setattr(opening, "_turn_upright", end)
    threads = [
        threading.Thread(
            target=open_image,
            args=(FLAT_WEBP,),
            kwargs={"max_decode_bytes": 2 * one, "max_wait": None},
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not decoded
    assert max(at_once) <= 2


def open_and_count(monkeypatch: pytest.MonkeyPatch, **caps: Any) -> int:
    """Open the flat image; returns the memory that it asked for."""
    asked: list[int] = []
    admit = opening._memory.admit

    def note(kind: str, *, units: int, **rest: Any) -> Any:
        asked.append(units)
        return admit(kind, units=units, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(opening._memory, "admit", note)
        open_image(FLAT_WEBP, **caps)
    return asked[0]


def test_a_visitor_waits_for_memory_no_longer_than_allowed() -> None:
    most = 320 << 20
    with (
        opening._memory.admit("decode", units=most, capacity=most, most_seconds=None),
        pytest.raises(Crowded),
    ):
        open_image(FLAT_WEBP, max_decode_bytes=most, max_wait=0.01)
    assert open_image(FLAT_WEBP, max_decode_bytes=most, max_wait=0.01).size == (1024, 614)


KEPT = """
import sys, threading, django
django.setup()
from mmsearch_app.images import open_image
def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024
data = open(sys.argv[1], "rb").read()
caps = dict(max_bytes=1 << 30, max_pixels=1 << 30, max_decode_bytes=1 << 33)
open_image(data, **caps)
before, done = resident(), threading.Barrier(9)
def work():
    open_image(data, **caps)
    done.wait(60)
    done.wait(60)
threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
done.wait(60)
print(resident() - before)
done.wait(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc")
def test_threads_keep_no_memory_of_what_they_decoded(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(FLAT_WEBP)
    command = [sys.executable, "-c", KEPT, str(file)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert int(output) < 100 << 20  # it was 55 MiB in each of eight threads
