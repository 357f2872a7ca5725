"""Preprocessing of images that the references do not cover."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch_app.inference.pixels import crop_square, floor_half, round_half

pytest.importorskip("torch", reason="the models need torch: install mmsearch[models]")


def test_the_two_processors_start_the_crop_at_different_pixels() -> None:
    assert [floor_half(rest) for rest in range(6)] == [0, 0, 1, 1, 2, 2]
    assert [round_half(rest) for rest in range(6)] == [0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize("size", [(700, 40), (41, 700), (1024, 3)])
def test_only_the_middle_of_an_extreme_image_is_resized_to_the_same_pixels(
    size: tuple[int, int],
) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    width, height = size
    short = min(size)
    whole = image.resize((32 * width // short, 32 * height // short), Image.Resampling.BICUBIC)
    left, top = (whole.width - 32) // 2, (whole.height - 32) // 2
    expected = np.asarray(whole.crop((left, top, left + 32, top + 32))).astype(int)
    found = crop_square(image, 32, begin=floor_half).astype(int)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("size", [(1, 1024), (1024, 1)])
def test_an_extremely_narrow_image_is_never_enlarged(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    resize, made = Image.Image.resize, []

    def record(self: Image.Image, *given: Any, **options: Any) -> Image.Image:
        made.append(resize(self, *given, **options))
        return made[-1]

    monkeypatch.setattr(Image.Image, "resize", record)
    assert crop_square(Image.new("RGB", size, "red"), 224, begin=round_half).shape == (224, 224, 3)
    assert [image.size for image in made] == [(224, 224)]
