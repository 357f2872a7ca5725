"""Words as token ids: tokenizers of transformers, where they come from and how they are used."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from mmsearch_app.inference.weights import MissingWeights, Release, digest_files, fetch

if TYPE_CHECKING:
    import torch

__all__ = [
    "TOKENIZER_FILES",
    "Tokenizer",
    "WordTokenizer",
    "find_marks",
    "load_tokenizer",
    "tokenizer_files",
    "tokenizer_release",
]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """Where a tokenizer comes from: a folder of this machine, or else the hub."""

    folder: Path | None
    release: Release

    @classmethod
    def find(
        cls, given: str | os.PathLike[str] | None, *, beside: Path | None, release: Release
    ) -> Tokenizer:
        """In the folder given, else beside the weights if one is there, else of the hub."""
        names = ("tokenizer.json", "vocab.txt")
        if given is None and beside and any((beside / name).is_file() for name in names):
            given = beside
        return cls(folder=None if given is None else Path(given), release=release)

    @property
    def name(self) -> str:
        """Fit for a fingerprint: of a folder the content counts, not the place."""
        if self.folder is None:
            return self.release.name
        return digest_files(tokenizer_files(self.folder))

    def load(self, *, download: bool) -> Any:
        """The fast tokenizer. Raises MissingWeights."""
        return load_tokenizer(self.folder or fetch(self.release, download=download))


class WordTokenizer:
    """A tokenizer of transformers behind a lock: truncating changes its state.

    `pad` fills short rows at their end; None takes the tokenizer's own padding id.
    """

    def __init__(self, tokenizer: Any, *, pad: int | None = None) -> None:
        self._tokenizer = tokenizer
        self._pad = tokenizer.pad_token_id if pad is None else pad
        self._lock = Lock()

    def __call__(
        self, texts: Sequence[str], *, limit: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask (1 for a token, 0 for padding), both int64 (n, longest) on `device`.

        A text longer than `limit` tokens, special ones included, is cut; the last special one
        stays. Halves of surrogate pairs become "?".
        """
        import torch

        clean = [text.encode("utf-8", "replace").decode() for text in texts]
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
    """What is fetched of a repository whose tokenizer alone is wanted."""
    return Release(
        repository=repository,
        revision=revision,
        required=("tokenizer.json",),
        optional=TOKENIZER_FILES,
    )


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer in that folder. Raises MissingWeights when there is none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        msg = f"{folder} holds no tokenizer; tokenizer.json is needed, with tokenizer_config.json."
        raise MissingWeights(msg) from error


def tokenizer_files(folder: Path) -> list[Path]:
    """What of a folder decides about token ids, in a fixed order."""
    return [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]


def find_marks(tokenizer: Any) -> re.Pattern[str]:
    """What finds a tokenizer's control tokens in words, which must not contain any."""
    marks = set(getattr(tokenizer, "all_special_tokens", ()))
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    marks.update(token.content for token in added if token.special)
    return re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))) or r"(?!)")
