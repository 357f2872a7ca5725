"""Prompts of Phi-3 Vision and their token ids."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mmsearch_app.inference import InvalidWeights, MissingWeights

__all__ = ["defuse_markers", "encode", "read_stops", "read_tokenizer", "write_prompt"]

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
"""The first character of everything that the tokenizer takes for a command."""


def defuse_markers(text: str) -> str:
    """The text with a space after the "<" of every control token and picture tag.

    So words of a visitor neither end a turn nor begin one nor stand for a picture.
    """
    return CONTROL.sub("< ", text)


def write_prompt(messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool) -> str:
    """A conversation as the model was trained on it.

    A message has a `role` and a `content`: words, or a list of parts `{"type": "image"}` and
    `{"type": "text", "text": …}`. Pictures are numbered as they come; words are quoted.
    Raises ValueError for another role or part.
    """
    pictures = 0
    turns = []
    for message in messages:
        if message["role"] not in ROLES:
            msg = f"A message's role is one of {', '.join(ROLES)}, not {message['role']!r}."
            raise ValueError(msg)
        said = []
        for part in _parts(message["content"]):
            if part["type"] == "image":
                pictures += 1
                said.append(f"<|image_{pictures}|>\n")
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
    """The ids of a prompt whose picture N takes `lengths[N - 1]` tokens: that often the id -N.

    The words between the tags are encoded one by one, each with its own `<s>`, as upstream does.
    Raises ValueError unless there is exactly one tag for each picture.
    """
    pieces = TAG.split(prompt)
    _check_tags([int(number) for number in pieces[1::2]], len(lengths))
    ids: list[int] = []
    for words, number in zip_longest(pieces[::2], pieces[1::2]):
        ids += tokenizer(words)["input_ids"]
        if number is not None:
            ids += [-int(number)] * lengths[int(number) - 1]
    return ids


def _check_tags(numbers: Sequence[int], pictures: int) -> None:
    if sorted(numbers) != list(range(1, pictures + 1)):
        found = ", ".join(f"<|image_{number}|>" for number in numbers) or "no tag"
        right = ", ".join(f"<|image_{number}|>" for number in range(1, pictures + 1)) or "no tag"
        msg = f"A prompt for {pictures} pictures has {right}, each once; this one has {found}."
        raise ValueError(msg)
    if list(numbers) != sorted(numbers):
        warnings.warn(
            "The tags of the pictures do not ascend; the model shows the pictures in the order "
            "in which they are given, whatever number a tag has.",
            stacklevel=4,
        )


def read_tokenizer(folder: Path) -> Any:
    """The fast tokenizer of `tokenizer.json`, exactly as it is written there.

    Raises MissingWeights. (`LlamaTokenizer`, the class that the release names, is rebuilt from
    the vocabulary by transformers 5 and would depend on its version.)
    """
    from transformers import PreTrainedTokenizerFast

    build: Any = PreTrainedTokenizerFast
    return build(tokenizer_file=str(_find(folder)), padding_side="left", **SPECIAL)


def read_stops(folder: Path) -> list[int]:
    """The ids that end an answer. Raises MissingWeights, or InvalidWeights if there are none."""
    added = json.loads(_find(folder).read_text(encoding="utf-8"))["added_tokens"]
    ids = {token["content"]: token["id"] for token in added}
    if missing := [name for name in STOPS if name not in ids]:
        msg = f"{folder} holds the tokenizer of another model: it lacks {', '.join(missing)}."
        raise InvalidWeights(msg)
    return [ids[name] for name in STOPS]


def _find(folder: Path) -> Path:
    if not (found := folder / "tokenizer.json").is_file():
        msg = f"{folder} holds no tokenizer.json."
        raise MissingWeights(msg)
    return found
