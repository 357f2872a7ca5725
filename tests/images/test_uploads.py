"""The size limit of uploads, without the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.http import HttpRequest
from django.test import RequestFactory

from mmsearch_app.images.uploads import UploadTooLarge, cap_uploads

KB = 1 << 10


def request_with(*sizes: int, **fields: Any) -> HttpRequest:
    files = {
        f"file{number}": SimpleUploadedFile("a.jpg", b"x" * size)
        for number, size in enumerate(sizes)
    }
    return RequestFactory().post("/", {**files, **fields})


def file_in(request: HttpRequest) -> UploadedFile[Any]:
    file = request.FILES["file0"]
    assert isinstance(file, UploadedFile)
    return file


def test_a_file_within_the_cap_arrives_whole() -> None:
    request = request_with(100 * KB, text="mug")
    cap_uploads(request, max_bytes=100 * KB)
    assert request.POST["text"] == "mug"
    file = file_in(request)
    assert (file.name, file.size, len(file.read())) == ("a.jpg", 100 * KB, 100 * KB)


@pytest.mark.parametrize("sizes", [(100 * KB + 1,), (60 * KB, 60 * KB), (1 << 22,)])
def test_files_beyond_the_cap_stop_the_reading(sizes: tuple[int, ...]) -> None:
    request = request_with(*sizes)
    cap_uploads(request, max_bytes=100 * KB)
    with pytest.raises(UploadTooLarge, match=r"at most 0\.0977 MB"):
        request.POST  # noqa: B018


def test_a_page_can_still_be_rendered_after_the_refusal() -> None:
    request = request_with(1 << 20)
    cap_uploads(request, max_bytes=100 * KB)
    with pytest.raises(UploadTooLarge):
        request.POST  # noqa: B018
    assert not request.POST
    assert not request.FILES


def test_what_is_left_of_a_moderate_body_is_read_and_dropped() -> None:
    request = request_with(300 * KB)
    cap_uploads(request, max_bytes=100 * KB)
    with pytest.raises(UploadTooLarge):
        request.POST  # noqa: B018
    assert request.read() == b""


def test_an_immoderate_body_is_left_unread() -> None:
    request = request_with(1 << 20)
    cap_uploads(request, max_bytes=100 * KB)
    with pytest.raises(UploadTooLarge):
        request.POST  # noqa: B018
    assert len(request.read()) > 500 * KB


def test_a_request_that_was_read_before_is_not_changed() -> None:
    request = request_with(10 * KB)
    assert file_in(request).size == 10 * KB
    cap_uploads(request, max_bytes=1 * KB)
    assert file_in(request).size == 10 * KB
