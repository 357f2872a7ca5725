"""Prompts of Phi-3 Vision and their token ids."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mmsearch_app.inference import InvalidWeights, MissingWeights

ROLES = ("system", "user", "assistant")
STOPS = ("<|end|>", "<|endoftext|>")
"""What ends an answer. The `eos_token_id` of the model's configuration never does."""
SPECIAL = {
    "bos_token": "<s>",
    "eos_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
    "unk_token": "<unk>",
}
TAG = re.compile(r"<\|image_(\d+)\|>")
CONTROL = re.compile(r"<(?=\|\w*\|>|/?s>|unk>)")
"""The first character of everything that the tokenizer takes for a control token."""


def defuse_markers(text: str) -> str:
    """Put a space after the "<" of every control token and image tag.

    So a visitor's words cannot end or begin a turn, or stand for an image.
    """
    return CONTROL.sub("< ", text)


def write_prompt(messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool) -> str:
    """Write a conversation in the form on which the model was trained.

    A message has a `role` and a `content`: words, or a list of parts `{"type": "image"}` and
    `{"type": "text", "text": …}`. Images are numbered in order; control tokens in words lose
    their effect (`defuse_markers`). Raises ValueError for another role or part.
    """
    images = 0
    turns = []
    for message in messages:
        if message["role"] not in ROLES:
            msg = f"A message's role is one of {', '.join(ROLES)}, not {message['role']!r}."
            raise ValueError(msg)
        said = []
        for part in _parts(message["content"]):
            if part["type"] == "image":
                images += 1
                said.append(f"<|image_{images}|>\n")
            else:
                said.append(defuse_markers(part["text"]))
        turns.append(f"<|{message['role']}|>\n{''.join(said)}<|end|>\n")
    return "".join(turns) + ("<|assistant|>\n" if add_generation_prompt else "")


def _parts(content: str | Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if unknown := sorted({str(part["type"]) for part in content} - {"image", "text"}):
        msg = f"A part's type is image or text, not {', '.join(unknown)}."
        raise ValueError(msg)
    return content


def encode(tokenizer: Any, prompt: str, lengths: Sequence[int]) -> list[int]:
    """Return the ids of a prompt; image N is the id -N, `lengths[N - 1]` times.

    The words between the tags are encoded one by one, each with its own `<s>`, as upstream does.
    Raises ValueError unless there is exactly one tag for each image.
    """
    pieces = TAG.split(prompt)
    _check_tags([int(number) for number in pieces[1::2]], len(lengths))
    ids: list[int] = []
    for words, number in zip_longest(pieces[::2], pieces[1::2]):
        ids += tokenizer(words)["input_ids"]
        if number is not None:
            ids += [-int(number)] * lengths[int(number) - 1]
    return ids


def _check_tags(numbers: Sequence[int], images: int) -> None:
    if sorted(numbers) != list(range(1, images + 1)):
        found = _list_tags(numbers) or "no tag"
        tags = _list_tags(range(1, images + 1))
        right = f"{tags}, each once" if tags else "no tag"
        msg = f"A prompt for {images} images needs {right}; this one has {found}."
        raise ValueError(msg)
    if list(numbers) != sorted(numbers):
        warnings.warn(
            "The image tags do not ascend; the model sees the images in the order in which they "
            "are given, whatever number a tag has.",
            stacklevel=4,
        )


def _list_tags(numbers: Iterable[int]) -> str:
    return ", ".join(f"<|image_{number}|>" for number in numbers)


def read_tokenizer(folder: Path) -> Any:
    """Read the fast tokenizer of `tokenizer.json`, exactly as it is written there.

    transformers 5 would rebuild `LlamaTokenizer`, the class that the release names, from the
    vocabulary, with results that depend on its version. Raises MissingWeights.
    """
    from transformers import PreTrainedTokenizerFast

    build: Any = PreTrainedTokenizerFast
    return build(tokenizer_file=str(_find(folder)), padding_side="left", **SPECIAL)


def read_stops(folder: Path) -> list[int]:
    """Return the ids that end an answer. Raises MissingWeights, or InvalidWeights without them."""
    added = json.loads(_find(folder).read_text(encoding="utf-8"))["added_tokens"]
    ids = {token["content"]: token["id"] for token in added}
    if missing := [name for name in STOPS if name not in ids]:
        msg = f"{folder} contains the tokenizer of another model: it lacks {', '.join(missing)}."
        raise InvalidWeights(msg)
    return [ids[name] for name in STOPS]


def _find(folder: Path) -> Path:
    if not (found := folder / "tokenizer.json").is_file():
        msg = f"{folder} contains no tokenizer.json."
        raise MissingWeights(msg)
    return found
