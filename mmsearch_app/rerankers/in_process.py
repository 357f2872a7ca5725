"""What every vision-language model in this process does alike, whatever runs it."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from PIL import Image

from mmsearch_app.inference import (
    Release,
    digest_files,
    fetch,
    find_folder,
    renew_after_fork,
    require_time,
    turn,
)
from mmsearch_app.rerankers.dialogue import Dialogue
from mmsearch_app.rerankers.replies.grammar import Grammar
from mmsearch_app.rerankers.vlm import Capabilities, Form, Prompt


class AnsweringModel(Protocol):
    """A loaded model. One thread at a time calls it."""

    dialogue: Dialogue

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, grammar: Grammar | None
    ) -> list[str]:
        """Return one reply per prompt; with a grammar, complete unless `max_tokens` cuts it.

        Raises ModelFailed if the grace period after the deadline ends.
        """
        ...

    def score(self, prompts: Sequence[Prompt], words: Sequence[str]) -> list[tuple[float, ...]]:
        """Return the logits of each word as the beginning of the reply, one row per prompt.

        Raises ValueError if two words begin with the same token.
        """
        ...


Loaded = TypeVar("Loaded", bound=AnsweringModel)


class InProcessVLM(ABC, Generic[Loaded]):
    """Loads a model once, under a lock, and lets one call at a time ask it.

    The next call repeats a failed attempt to load. Only `warm_up` downloads anything, unless
    `local_files_only`. A forked child gets a lock of its own.
    """

    version: ClassVar[str]
    """Of what the code makes of prompts and replies: part of the fingerprint."""

    def __init__(
        self,
        *,
        release: Release,
        path: str | os.PathLike[str] | None,
        local_files_only: bool,
        max_images: int,
    ) -> None:
        self.path = None if path is None else find_folder(Path(path))
        self.release = release
        self.local_files_only = local_files_only
        self.capabilities = Capabilities(logits=True, constrained=True, max_images=max_images)
        self._digest = ""
        self._model: Loaded | None = None
        self._reset()
        renew_after_fork(self._reset)

    @property
    def fingerprint(self) -> str:
        """Repository and revision, or the content of the folder, and the options."""
        if self.path is not None and not self._digest:
            self._digest = digest_files(self._list_files(self.path))
        origin = self._digest or self.release.name
        options = json.dumps(self._list_options(), sort_keys=True)
        digest = hashlib.sha256(options.encode()).hexdigest()[:8]
        return f"{origin}/{self.version}/{digest}"

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, form: Form | None = None
    ) -> list[str]:
        """Return one reply per prompt; with a form, complete if `max_tokens` leaves room for it.

        Raises ModelFailed if the model is still busy at the caller's deadline, or if the grace
        period after it (`inference.until`) ends: no reply is returned in part.
        """
        grammar = None if form is None else form.grammar
        replies: list[str] = []
        with self._turn() as model:
            for batch in self._batches(prompts):
                replies += model.generate(batch, max_tokens=max_tokens, grammar=grammar)
        return replies

    def score(self, prompts: Sequence[Prompt], words: Sequence[str]) -> list[tuple[float, ...]]:
        """Return the logits of the words' first tokens, one row per prompt.

        Raises ModelFailed as `generate` does, and ValueError if two words begin alike.
        """
        rows: list[tuple[float, ...]] = []
        with self._turn() as model:
            for batch in self._batches(prompts):
                rows += model.score(batch, words)
        return rows

    def warm_up(self) -> None:
        """Download what is missing, load, and answer once.

        Raises MissingWeights, InvalidWeights, ModelFailed, or ImportError naming the extra.
        """
        image = Image.new("RGB", (336, 336), "grey")
        with self._lock:
            model = self._loaded(download=not self.local_files_only)
            model.score([Prompt(parts=(image, "Is this grey?"))], ["yes", "no"])
            model.dialogue.prepare()

    def _reset(self) -> None:
        """Renew in a forked child what it must not share with its parent."""
        self._lock = Lock()

    @contextmanager
    def _turn(self) -> Iterator[Loaded]:
        """The model, for one call at a time."""
        with turn(self._lock, or_else="The model was busy until the deadline."):
            require_time()
            yield self._loaded(download=False)

    def _loaded(self, *, download: bool) -> Loaded:
        if self._model is None:
            folder = self.path or fetch(self.release, download=download, complete=self._is_complete)
            self._model = self._load(folder)
        return self._model

    def _batches(self, prompts: Sequence[Prompt]) -> list[Sequence[Prompt]]:
        """Split into what the loaded model is asked at once."""
        return [prompts]

    def _is_complete(self, folder: Path) -> bool:
        """Whether a downloaded folder lacks nothing beyond the required files of the release."""
        return True

    @abstractmethod
    def _load(self, folder: Path) -> Loaded: ...

    @abstractmethod
    def _list_files(self, folder: Path) -> list[Path]:
        """Return the files that a reply depends on, in a fixed order."""

    @abstractmethod
    def _list_options(self) -> list[Any]:
        """Return the options that a reply depends on."""
