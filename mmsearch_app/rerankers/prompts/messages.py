"""Chat messages: prompts as an OpenAI-compatible server takes them, and its replies read."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmsearch_app.images import encode_jpeg
from mmsearch_app.inference import ModelFailed
from mmsearch_app.rerankers.vlm import Prompt

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "alternatives",
    "defuse",
    "has_scores",
    "read_scores",
    "read_text",
    "response_format",
    "shrink",
    "write",
]

QUALITIES = (92, 85, 75, 60)
"""Of JPEG, the best one first; below the last the picture itself is made smaller."""
_MARK = re.compile(r"<(?!(?:Instruct|Query|Document)>)(?=[|/\w｜])|\[(?=/?[A-Z_]{2,}\])")
"""Not those three words, on which Qwen3-VL-Reranker was trained: no tokenizer has them."""
_THOUGHT = re.compile(r"^.*?</think>", re.S)
_BEFORE = " \t\n▁Ġ"


def write(prompt: Prompt, *, max_pixels: int | None, max_bytes: int) -> list[dict[str, Any]]:
    """The messages of a request: the system's, where there is one, and the user's."""
    content = [
        {"type": "text", "text": defuse(part)}
        if isinstance(part, str)
        else _picture(part, max_pixels=max_pixels, max_bytes=max_bytes)
        for part in prompt.parts
    ]
    told = [{"role": "system", "content": defuse(prompt.system)}] if prompt.system else []
    return [*told, {"role": "user", "content": content}]


def defuse(words: str) -> str:
    """The same words with a space in what a server's tokenizer could take for a control token.

    "<|end|>", "<image>" and "[INST]" in a title would end the turn or stand for a picture.
    """
    return _MARK.sub(r"\g<0> ", words).encode("utf-8", "replace").decode()


def shrink(image: Image.Image, *, max_pixels: int | None) -> Image.Image:
    """The picture with at most so many pixels, in its proportions; the same one if it fits."""
    pixels = image.width * image.height
    if max_pixels is None or pixels <= max_pixels:
        return image
    scale = math.sqrt(max_pixels / pixels)
    width = min(max_pixels, max(1, int(image.width * scale)))
    return image.resize((width, max(1, min(int(image.height * scale), max_pixels // width))))


def response_format(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The nested form: llama.cpp silently ignores the flat one."""
    described = {"name": name, "strict": True, "schema": dict(schema)}
    return {"type": "json_schema", "json_schema": described}


def alternatives(words: Sequence[str]) -> dict[str, Any]:
    """A schema of objects with one key, `answer`."""
    return {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": list(words)}},
        "required": ["answer"],
        "additionalProperties": False,
    }


def read_text(answer: Any) -> str:
    """The words of the first choice, without what the model thought before them.

    Raises ModelFailed for an answer that has none.
    """
    try:
        content = answer["choices"][0]["message"]["content"]
        if isinstance(content, list):
            content = "".join(part["text"] for part in content if part.get("type") == "text")
    except (TypeError, KeyError, IndexError, AttributeError):
        content = None
    if not isinstance(content, str):
        msg = "The model server's answer holds no text."
        raise ModelFailed(msg)
    return _THOUGHT.sub("", content).strip()


def has_scores(answer: Any) -> bool:
    """Whether the server reported log-probabilities."""
    try:
        return bool(_first_tokens(answer))
    except ModelFailed:
        return False


def read_scores(answer: Any, words: Sequence[str]) -> tuple[float, ...]:
    """The likeliest way to begin each word, with or without a space before it.

    A token that begins several of the words counts for none. Raises ModelFailed for an answer
    without log-probabilities.
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
        msg = "The model server's answer holds no log-probabilities."
        raise ModelFailed(msg)
    return found


def _picture(image: Image.Image, *, max_pixels: int | None, max_bytes: int) -> dict[str, Any]:
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
