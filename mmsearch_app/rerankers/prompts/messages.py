"""Chat messages: writing prompts for an OpenAI-compatible server, and reading its answers."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmsearch_app.images import encode_jpeg
from mmsearch_app.inference import ModelFailed, defuse
from mmsearch_app.rerankers.replies.thoughts import find_answer
from mmsearch_app.rerankers.vlm import Prompt

if TYPE_CHECKING:
    from PIL import Image

QUALITIES = (92, 85, 75, 60)
"""JPEG qualities, tried in turn; if even the last is too large, the image is made smaller."""
_BEFORE = " \t\n▁Ġ"
"""What may stand before a word in its token."""


def write(prompt: Prompt, *, max_pixels: int | None, max_bytes: int) -> list[dict[str, Any]]:
    """The messages of a request: the system's, if there is one, and the user's."""
    content = [
        {"type": "text", "text": defuse(part)}
        if isinstance(part, str)
        else _write_image(part, max_pixels=max_pixels, max_bytes=max_bytes)
        for part in prompt.parts
    ]
    user = {"role": "user", "content": content}
    if not prompt.system:
        return [user]
    return [{"role": "system", "content": defuse(prompt.system)}, user]


def shrink(image: Image.Image, *, max_pixels: int | None) -> Image.Image:
    """Scale down to at most `max_pixels`, keeping proportions; the same object if it fits."""
    pixels = image.width * image.height
    if max_pixels is None or pixels <= max_pixels:
        return image
    scale = math.sqrt(max_pixels / pixels)
    width = min(max_pixels, max(1, int(image.width * scale)))
    return image.resize((width, max(1, min(int(image.height * scale), max_pixels // width))))


def response_format(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The field of that name, nested: llama.cpp silently ignores the flat form."""
    described = {"name": name, "strict": True, "schema": dict(schema)}
    return {"type": "json_schema", "json_schema": described}


def read_text(answer: Any) -> str:
    """The text of the first choice, without the thoughts before it.

    Raises ModelFailed if the answer contains no text.
    """
    try:
        choice = answer["choices"][0]
        content, cut = choice["message"]["content"], choice.get("finish_reason") == "length"
        if isinstance(content, list):
            content = "".join(part["text"] for part in content if part.get("type") == "text")
    except (TypeError, KeyError, IndexError, AttributeError):
        content, cut = None, False
    if not isinstance(content, str):
        msg = "The model server's answer contains no text."
        raise ModelFailed(msg)
    return find_answer(content, cut=cut)


def has_scores(answer: Any) -> bool:
    """Whether the server reported log-probabilities."""
    try:
        return bool(_first_tokens(answer))
    except ModelFailed:
        return False


def read_scores(answer: Any, words: Sequence[str]) -> tuple[float, ...]:
    """The log-probability of each word's likeliest first token, with or without a space before it.

    A token that begins several of the words counts for none; -inf for a word without a token.
    Raises ModelFailed if the answer contains no log-probabilities.
    """
    scores = dict.fromkeys(words, -math.inf)
    for token, score in _first_tokens(answer):
        token = token.strip(_BEFORE)
        begun = [word for word in words if word == token] or [
            word for word in words if token and word.startswith(token)
        ]
        if len(begun) == 1:
            scores[begun[0]] = max(scores[begun[0]], score)
    return tuple(scores[word] for word in words)


def _first_tokens(answer: Any) -> list[tuple[str, float]]:
    try:
        first = answer["choices"][0]["logprobs"]["content"][0]
        top = [*(first.get("top_logprobs") or ()), first]
        found = [(str(item["token"]), float(item["logprob"])) for item in top]
    except (TypeError, KeyError, IndexError, AttributeError, ValueError, OverflowError):
        found = []
    found = [(token, score) for token, score in found if not math.isnan(score)]
    if not found:
        msg = "The model server's answer contains no log-probabilities."
        raise ModelFailed(msg)
    return found


def _write_image(image: Image.Image, *, max_pixels: int | None, max_bytes: int) -> dict[str, Any]:
    jpeg = _encode(shrink(image, max_pixels=max_pixels), max_bytes=max_bytes)
    uri = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    return {"type": "image_url", "image_url": {"url": uri}}


def _encode(image: Image.Image, *, max_bytes: int) -> bytes:
    while True:
        for quality in QUALITIES:
            jpeg = encode_jpeg(image, longest_side=max(image.size), quality=quality)
            if len(jpeg) <= max_bytes or max(image.size) == 1:
                return jpeg
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)))
