"""Request bodies, read with a cap of our own, the same with every version of DRF."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.translation import gettext
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser, DataAndFiles

from mmsearch_app.conf import get_settings
from mmsearch_app.images import CappedUpload, discard

__all__ = ["BodyTooLarge", "FormParser", "JsonParser"]

MAX_JSON_BYTES = 64 * 1024


class BodyTooLarge(APIException):
    """A body without a picture is larger than any question can be."""

    status_code = 413
    default_code = "too_large"

    def __init__(self) -> None:
        text = gettext(
            "A JSON body has at most %(most)d KiB; send pictures as multipart/form-data."
        )
        super().__init__(text % {"most": MAX_JSON_BYTES // 1024})


class FormParser(BaseParser):
    """Forms with pictures. Raises UploadTooLarge at the cap; no file touches the disk."""

    media_type = "multipart/form-data"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> DataAndFiles[Any, Any]:
        """Return the fields and the files."""
        request = (parser_context or {})["request"]
        body: Any = stream
        meta = {**request.META, "CONTENT_TYPE": media_type}
        try:
            # Always UTF-8: a charset of the client's choice may be a decompressor ("bz2_codec").
            handler = CappedUpload(request, max_bytes=get_settings().MAX_IMAGE_BYTES)
            data, files = MultiPartParser(meta, body, [handler], "utf-8").parse()
        except MultiPartParserError as error:
            text = gettext("This form cannot be read: %(error)s") % {"error": error}
            raise ParseError(text) from error
        return DataAndFiles(data, files)


class JsonParser(BaseParser):
    """JSON objects of at most 64 KiB, in UTF-8, with finite numbers."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the object."""
        body = stream.read(MAX_JSON_BYTES + 1)
        if len(body) > MAX_JSON_BYTES:
            discard(stream, max_bytes=4 * get_settings().MAX_IMAGE_BYTES)
            raise BodyTooLarge
        try:
            data = json.loads(str(body, "utf-8"), parse_constant=_refuse)
        except RecursionError as error:
            raise ParseError(gettext("This JSON is nested too deeply.")) from error
        except ValueError as error:
            text = gettext("This JSON cannot be read: %(error)s") % {"error": error}
            raise ParseError(text) from error
        if not isinstance(data, dict):
            text = gettext("A JSON object is expected, not %(kind)s.") % {"kind": _kind(data)}
            raise ParseError(text)
        return data


def _refuse(constant: str) -> NoReturn:
    msg = gettext("%(constant)s is not a number.")
    raise ValueError(msg % {"constant": constant})


def _kind(data: object) -> str:
    kinds = {
        list: gettext("an array"),
        str: gettext("a string"),
        bool: gettext("a boolean"),
        type(None): "null",
    }
    return kinds.get(type(data), gettext("a number"))
