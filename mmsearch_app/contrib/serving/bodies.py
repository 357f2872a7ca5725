"""Reads the body of a request and checks every limit."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mmsearch_app.conf import get_settings
from mmsearch_app.images import InvalidImage, open_image
from mmsearch_app.inference import Content
from mmsearch_app.translation import in_english

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MAX_INPUTS", "MAX_TEXT", "Asked", "Refusal", "read_body"]

MAX_INPUTS = 256
"""Texts in one request."""
MAX_TEXT = 32_768
"""Characters of one text: about the 8,192 tokens of the longest model."""
DATA_URI = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE | re.ASCII)

Encoding: TypeAlias = Literal["float", "base64"]


class Refusal(Exception):
    """A refused request, as an error document of OpenAI's API."""

    def __init__(self, message: str, *, status: int = 400, code: str = "", param: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    def document(self) -> dict[str, Any]:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {"message": str(self), "type": kind}
        return {"error": error | {"param": self.param or None, "code": self.code or None}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asks to embed, and how the vectors are encoded."""

    contents: Sequence[Content]
    encoding: Encoding


def read_body(data: bytes, *, models: Sequence[str], dimension: int) -> Asked:
    """Check the body and open its image. Nothing is fetched. Raises Refusal.

    `models` are the accepted model names. Unknown fields are ignored, as other servers with this
    API do.
    """
    body = _parse(data)
    if (name := body.get("model")) not in models:
        msg = f"There is no model {name!r}; this server has {models[0]!r}."
        raise Refusal(msg, status=404, code="model_not_found", param="model")
    if body.get("dimensions", dimension) != dimension:
        msg = f"The vectors have {dimension} dimensions and cannot be shortened."
        raise Refusal(msg, param="dimensions")
    if (encoding := body.get("encoding_format", "float")) not in ("float", "base64"):
        msg = "encoding_format is 'float' or 'base64'."
        raise Refusal(msg, param="encoding_format")
    if ("input" in body) == ("messages" in body):
        msg = "Give either `input` (texts) or `messages` (one message with an image or text)."
        raise Refusal(msg, param="input")
    if "input" in body:
        return Asked(contents=_read_input(body["input"]), encoding=encoding)
    return Asked(contents=[_read_messages(body["messages"])], encoding=encoding)


def _parse(data: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        msg = "The body is not JSON."
        raise Refusal(msg) from None
    if not isinstance(body, dict):
        msg = "The body must be a JSON object."
        raise Refusal(msg)
    return body


def _read_input(given: object) -> list[Content]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_INPUTS:
        msg = f"`input` must be a text or a list of 1 to {MAX_INPUTS} texts."
        raise Refusal(msg, param="input")
    return [Content(text=_text(text, param="input")) for text in texts]


def _read_messages(given: object) -> Content:
    """Read the one user message. System messages are refused, not silently ignored."""
    if not isinstance(given, list) or len(given) != 1:
        msg = "`messages` must be a list with one message: this model takes no instructions."
        raise Refusal(msg, param="messages")
    message = given[0]
    if not isinstance(message, dict) or message.get("role") != "user":
        msg = "The message must be an object whose `role` is 'user'."
        raise Refusal(msg, param="messages")
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        msg = "The message's `content` must be a text or a list of parts."
        raise Refusal(msg, param="messages")
    return _read_parts(parts)


def _read_parts(parts: Sequence[Mapping[str, Any]]) -> Content:
    images, texts = [], []
    for part in parts:
        if part.get("type") == "text":
            texts.append(_text(part.get("text"), param="messages"))
        elif part.get("type") == "image_url":
            address = part.get("image_url")
            images.append(address.get("url") if isinstance(address, dict) else address)
        else:
            msg = "A part's `type` must be 'text' or 'image_url'."
            raise Refusal(msg, param="messages")
    if len(images) > 1 or len(texts) > 1 or not parts:
        msg = "A message must have one image, one text, or one of each."
        raise Refusal(msg, param="messages")
    image = _image(images[0]) if images else None
    return Content(image=image, text=texts[0] if texts else None)


def _text(given: object, *, param: str) -> str:
    if not isinstance(given, str) or len(given) > MAX_TEXT:
        msg = f"A text must be a string of at most {MAX_TEXT} characters."
        raise Refusal(msg, param=param)
    return given


def _image(uri: object) -> Image.Image:
    head = DATA_URI.match(uri) if isinstance(uri, str) else None
    if head is None or not isinstance(uri, str):
        msg = "An image must be a data URI with base64; URLs are not fetched."
        raise Refusal(msg, code="invalid_image_url", param="messages")
    try:
        return open_image(
            base64.b64decode(uri[head.end() :], validate=True), **get_settings().upload_caps
        )
    except binascii.Error:
        msg = "The image's data URI is not valid base64."
        raise Refusal(msg, code="invalid_image", param="messages") from None
    except InvalidImage as error:
        raise Refusal(in_english(error), code="invalid_image", param="messages") from None
