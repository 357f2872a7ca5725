"""Uploads that are refused, and their limits."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.base import ContentFile
from PIL import Image

from tests.api.conftest import Ask, problem, titles, upload
from tests.pictures import EPS, black_png, encode

MB = 1 << 20


def test_eps_called_jpg_cannot_be_used(ask: Ask, db: None) -> None:
    document = problem(ask(form=True, image=upload(EPS, "a.jpg")), 422)
    assert document["errors"] == {"image": ["This is no JPEG, PNG, WebP or AVIF picture."]}


def test_twelve_thousand_square_has_too_many_pixels(ask: Ask, db: None) -> None:
    document = problem(ask(form=True, image=upload(black_png(12_000, 12_000))), 422)
    assert document["errors"] == {"image": ["This picture has too many pixels."]}


def test_a_truncated_jpeg_is_damaged(ask: Ask, db: None) -> None:
    whole = encode(Image.effect_noise((300, 200), 90).convert("RGB"), "JPEG")
    document = problem(ask(form=True, image=upload(whole[: len(whole) // 2])), 422)
    assert document["detail"] == "This picture is damaged or incomplete."


def test_an_empty_file_is_reported(ask: Ask, db: None) -> None:
    document = problem(ask(form=True, image=upload(b"")), 422)
    assert document["errors"] == {"image": ["The file is empty."]}


@pytest.mark.parametrize("size", [8 * MB + 1, 24 * MB])
def test_an_image_of_too_many_bytes_is_too_large(ask: Ask, db: None, size: int) -> None:
    document = problem(ask(form=True, image=upload(bytes(size)), text="mug"), 413)
    assert document["errors"] == {"image": ["This file is too large: at most 8 MB."]}


def test_two_images_share_one_cap(ask: Ask, db: None) -> None:
    half = bytes(4 * MB + 1)
    response = ask(form=True, image=upload(half), other=upload(half))
    problem(response, 413)


def test_the_cap_is_that_of_the_settings(ask: Ask, use: Callable[..., None], db: None) -> None:
    use(MAX_IMAGE_BYTES=1000)
    problem(ask(form=True, image=upload(bytes(1001))), 413)
    problem(ask(form=True, image=upload(bytes(1000))), 422)


def test_a_form_that_middleware_has_read_is_still_limited(
    settings: Any, use: Callable[..., None], ask: Ask, db: None
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.api.parts.read_form"]
    use(MAX_IMAGE_BYTES=1000)
    problem(ask(form=True, image=upload(bytes(1001))), 413)


def test_an_image_never_touches_the_disk(
    settings: Any, ask: Ask, catalogue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a temporary file was made")

    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 10
    for name in ("NamedTemporaryFile", "mkstemp", "TemporaryFile"):
        monkeypatch.setattr(tempfile, name, refuse)
    picture = encode(Image.effect_noise((300, 200), 90).convert("RGB"))
    assert len(titles(ask(form=True, image=ContentFile(picture, name="a.png")))) == 9
