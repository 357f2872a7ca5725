"""Parse request bodies within our own limits, alike with every version of DRF."""

from __future__ import annotations

import json
from typing import IO, Any, NoReturn

from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.translation import gettext
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser, DataAndFiles

from mmsearch_app.conf import get_settings
from mmsearch_app.images import CappedUpload, discard

MAX_JSON_BYTES = 64 * 1024


class BodyTooLarge(APIException):
    """The JSON body is larger than any query can be."""

    status_code = 413
    default_code = "too_large"

    def __init__(self) -> None:
        text = gettext(
            "A JSON body has at most %(most)d KiB; send pictures as multipart/form-data."
        )
        super().__init__(text % {"most": MAX_JSON_BYTES // 1024})


class FormParser(BaseParser):
    """Parse forms with images. Raises UploadTooLarge at the cap; no file is written to disk."""

    media_type = "multipart/form-data"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> DataAndFiles[Any, Any]:
        request = parser_context["request"]
        meta = {**request.META, "CONTENT_TYPE": media_type}
        try:
            # Always UTF-8: the client may name a codec that decompresses ("bz2_codec").
            handler = CappedUpload(request, max_bytes=get_settings().MAX_IMAGE_BYTES)
            data, files = MultiPartParser(meta, stream, [handler], "utf-8").parse()
        except MultiPartParserError as error:
            text = gettext("This form cannot be read: %(error)s") % {"error": error}
            raise ParseError(text) from error
        return DataAndFiles(data, files)


class JsonParser(BaseParser):
    """Parse JSON objects of at most 64 KiB, in UTF-8, with finite numbers."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None
    ) -> dict[str, Any]:
        body = stream.read(MAX_JSON_BYTES + 1)
        if len(body) > MAX_JSON_BYTES:
            discard(stream, max_bytes=4 * get_settings().MAX_IMAGE_BYTES)
            raise BodyTooLarge
        try:
            data = json.loads(str(body, "utf-8"), parse_constant=_refuse_constant)
        except RecursionError as error:
            raise ParseError(gettext("This JSON is nested too deeply.")) from error
        except ValueError as error:
            text = gettext("This JSON cannot be read: %(error)s") % {"error": error}
            raise ParseError(text) from error
        if not isinstance(data, dict):
            raise ParseError(gettext("A JSON object is expected."))
        return data


def _refuse_constant(constant: str) -> NoReturn:
    msg = gettext("%(constant)s is not a number.")
    raise ValueError(msg % {"constant": constant})
