"""Limit the bytes of an upload while it is read, for the page and the API alike."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import HttpRequest

from mmsearch_app.translation import too_large_message

_OTHER_BYTES = 64 * 1024
"""Bytes of a form beside its files: words and boundaries."""
_CHUNK = 64 * 1024


class UploadTooLarge(RequestDataTooBig):
    """The files of a request are larger than allowed: respond with 413.

    If nothing catches it, Django responds with 400, as to every RequestDataTooBig.
    """


def cap_uploads(request: HttpRequest, *, max_bytes: int) -> None:
    """Limit the files of `request` to `max_bytes` together.

    Call it before anything reads `request.POST` or `request.FILES`; reading them then raises
    UploadTooLarge instead of storing more. Django's CSRF check reads `request.POST`, so call it
    outside the view that is CSRF-protected:

        @csrf_exempt
        def search(request):
            cap_uploads(request, max_bytes=8 << 20)
            try:
                return _search(request)          # decorated with @csrf_protect
            except UploadTooLarge:
                return render(request, ..., status=413)

    Accepted files are kept in memory only: a visitor's image is never written to disk, whatever
    `FILE_UPLOAD_HANDLERS` says. If a middleware has read the form already, nothing changes: the
    image is then measured when it is opened.
    """
    with suppress(AttributeError):
        request.upload_handlers = [CappedUpload(request, max_bytes=max_bytes)]


class CappedUpload(MemoryFileUploadHandler):
    """Keeps the files of one request in memory; stops once they exceed `max_bytes` together."""

    def __init__(self, request: HttpRequest | None = None, *, max_bytes: int) -> None:
        super().__init__(request)
        self.max_bytes = max_bytes
        self._received = 0

    def handle_raw_input(
        self,
        input_data: IO[bytes],
        META: Mapping[str, Any],
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        """Refuse the body by its announced length, before a byte is kept."""
        self.activated = True  # whatever FILE_UPLOAD_MAX_MEMORY_SIZE says
        self._input = input_data
        if content_length > self.max_bytes + _OTHER_BYTES:
            self._refuse()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._received += len(raw_data)
        if self._received > self.max_bytes:
            self._refuse()
        super().receive_data_chunk(raw_data, start)

    def _refuse(self) -> None:
        discard(self._input, max_bytes=4 * self.max_bytes)
        raise UploadTooLarge(too_large_message(self.max_bytes))


def discard(stream: IO[bytes] | HttpRequest, *, max_bytes: int) -> None:
    """Read and drop up to `max_bytes` of the rest of a refused body.

    A client that is still sending when the connection closes reports a broken connection, not
    the response.
    """
    rest = max_bytes
    while rest > 0 and (chunk := stream.read(_CHUNK)):
        rest -= len(chunk)
