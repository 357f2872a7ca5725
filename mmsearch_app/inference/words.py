"""Texts as token ids: where the tokenizers of transformers come from, and how to use them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from mmsearch_app.inference.forking import renew_after_fork
from mmsearch_app.inference.weights import MissingWeights, Release, digest_files, fetch

if TYPE_CHECKING:
    import torch

TOKENIZER_FILES = (
    "config.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)

_ANY_MARK = re.compile(
    r"[<\uff1c](?!(?:Instruct|Query|Document)>)(?=[|/\w\uff5c\]])"
    r"|\[(?=/?[A-Za-z]?[A-Z_]{2,}\])|\u25c1(?=/?\w)"
)
"""The beginning of a control token of any family. Leaves three words alone on which
Qwen3-VL-Reranker was trained: no tokenizer has them."""
_BRACKET = re.compile(r"[<>\[\]|\u25c1\uff5c]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """Where a tokenizer comes from: a folder on this machine, else the hub."""

    folder: Path | None
    release: Release

    @classmethod
    def find(
        cls, given: str | os.PathLike[str] | None, *, beside: Path | None, release: Release
    ) -> Tokenizer:
        """Choose the given folder, else the weights' folder if it has a tokenizer, else the hub.

        `beside` is the file of the weights or its folder.
        """
        names = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model")
        if beside and not beside.is_dir():
            beside = beside.parent
        if given is None and beside and any((beside / name).is_file() for name in names):
            given = beside
        return cls(folder=None if given is None else Path(given), release=release)

    @property
    def name(self) -> str:
        """What identifies the tokenizer in a fingerprint; for a folder, a digest of its files."""
        if self.folder is None:
            return self.release.name
        return digest_files(tokenizer_files(self.folder))

    def load(self, *, download: bool) -> Any:
        """Return the fast tokenizer. Raises MissingWeights."""
        return load_tokenizer(self.folder or fetch(self.release, download=download))


class WordTokenizer:
    """A tokenizer of transformers that threads can share: a lock guards its truncation state.

    `pad` is the id that fills short rows at their end; None means the tokenizer's own.
    """

    def __init__(self, tokenizer: Any, *, pad: int | None = None) -> None:
        self._tokenizer = tokenizer
        self._marks = find_marks(tokenizer)
        self._pad = tokenizer.pad_token_id if pad is None else pad
        self._reset()
        renew_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = Lock()

    def __call__(
        self, texts: Sequence[str], *, limit: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and mask (1 for a token, 0 for padding), both int64 (n, longest) on `device`.

        A text is cut to `limit` tokens, special tokens included; the closing special token stays.
        Control tokens in a text are plain text (`defuse`). Halves of surrogate pairs become "?".
        """
        import torch

        clean = [defuse(text, self._marks) for text in texts]
        with self._lock:
            rows = self._tokenizer(clean, truncation=True, max_length=limit)["input_ids"]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self._pad)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        return ids.to(device), mask.to(device)


def tokenizer_release(repository: str, revision: str) -> Release:
    """Return the release of a repository of which only the tokenizer is fetched."""
    return Release(
        repository=repository,
        revision=revision,
        required=("tokenizer.json",),
        optional=TOKENIZER_FILES,
    )


def load_tokenizer(folder: Path) -> Any:
    """Return the fast tokenizer in that folder. Raises MissingWeights if it has none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        msg = (
            f"There is no tokenizer in {folder}: it needs tokenizer.json and tokenizer_config.json."
        )
        raise MissingWeights(msg) from error


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the files of a folder that determine token ids, in a fixed order."""
    return [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]


def find_marks(tokenizer: Any) -> re.Pattern[str]:
    """Return a pattern of the tokenizer's control tokens, in any case and width."""
    marks = set(getattr(tokenizer, "all_special_tokens", ()))
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    marks.update(token.content for token in added)
    return match_marks(marks)


def match_marks(names: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern of the control tokens of these names, in any case and width."""
    marks = {name for name in names if len(name) > 2 and _BRACKET.search(name)}
    ways = ("".join(map(_any_width, mark)) for mark in sorted(marks, key=len, reverse=True))
    return re.compile("|".join(ways) or r"(?!)", re.I)


def _any_width(letter: str) -> str:
    """A pattern of the letter and its full-width form, which some tokenizers take for it."""
    wide = chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter
    return f"[{re.escape(letter)}{re.escape(wide)}]"


def defuse(text: str, marks: re.Pattern[str] | None = None) -> str:
    """Return the text as UTF-8 can hold it, with a space behind the first letter of each mark.

    So that what strangers write stays legible, but is no control token: "<|end|>", "<image>" or
    "[INST]" in a title would end a turn or stand for an image. `marks` are those of the
    tokenizer (`find_marks`); None means whatever a tokenizer could take for one.
    """
    pattern = marks or _ANY_MARK
    return pattern.sub(_open_up, text.encode("utf-8", "replace").decode())


def _open_up(mark: re.Match[str]) -> str:
    return f"{mark[0][0]} {mark[0][1:]}"
