"""A vision-language model in this process: any native family of transformers, or Phi-3 Vision."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, get_args

from mmsearch_app.inference import (
    Precision,
    Release,
    digest_files,
    fetch,
    find_folder,
    find_gap,
    needing,
    renew_after_fork,
    require_one_of,
    require_origin,
    require_time,
    turn,
)
from mmsearch_app.rerankers.vlm import Capabilities, Form, Prompt

if TYPE_CHECKING:
    from mmsearch_app.rerankers.local_network import LoadedModel

_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
_VERSION = "local-1"


class LocalVLM:
    """A model of the hub or, by `path`, of a folder; code that comes with a model is never run.

    `path` may also be a file of weights in the folder.
    Nothing is loaded and torch is not imported before the first call or `warm_up`. The model
    loads once, under a lock, and answers one call at a time; the next call repeats a failed
    attempt. Only `warm_up` downloads anything, unless `local_files_only`.

    `device` is "auto" (the GPU if there is one) or a name that torch knows; `attention` an
    implementation that transformers knows, None lets it choose. `batch_size` prompts go
    through the model together. `temperature` 0 is greedy; above 0 replies are sampled and differ
    each time. `max_images` is how many images a prompt may have; `processing` goes to the
    model's processor, for instance the size at which it sees images.

    Raises ValueError for options that cannot work.
    """

    def __init__(
        self,
        *,
        model: str = "",
        path: str | os.PathLike[str] | None = None,
        revision: str = "main",
        local_files_only: bool = False,
        device: str = "auto",
        dtype: Precision = "bfloat16",
        attention: str | None = None,
        batch_size: int = 4,
        temperature: float = 0.0,
        max_images: int = 1,
        processing: Mapping[str, Any] | None = None,
    ) -> None:
        require_origin(model=model, path=path, example="HuggingFaceM4/Idefics3-8B-Llama3")
        if batch_size < 1 or max_images < 1 or temperature < 0:
            msg = "batch_size and max_images must be at least 1 and temperature at least 0."
            raise ValueError(msg)
        require_one_of("dtype", dtype, get_args(Precision))
        self.path = None if path is None else find_folder(Path(path))
        self.release = Release(
            repository=model, revision=revision, required=("config.json",), optional=_FILES
        )
        self.local_files_only = local_files_only
        self.device = device
        self.dtype: Precision = dtype
        self.attention = attention
        self.batch_size = batch_size
        self.temperature = temperature
        self.processing = dict(processing or {})
        self.capabilities = Capabilities(logits=True, constrained=True, max_images=max_images)
        self._digest = ""
        self._model: LoadedModel | None = None
        self._reset()
        renew_after_fork(self._reset)

    @property
    def fingerprint(self) -> str:
        """Repository and revision, or the content of the folder, and the options."""
        if self.path is not None and not self._digest:
            files = {file for pattern in _FILES for file in self.path.glob(pattern)}
            self._digest = digest_files(sorted(files))
        origin = self._digest or self.release.name
        most = self.capabilities.max_images
        options = [self.temperature, self.dtype, self.processing, most, self.attention]
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
        return f"{origin}/{_VERSION}/{digest}"

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
                replies += model.generate(
                    batch, max_tokens=max_tokens, grammar=grammar, temperature=self.temperature
                )
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
        with self._lock:
            self._loaded(download=not self.local_files_only).warm_up()

    def _reset(self) -> None:
        self._lock = Lock()

    @contextmanager
    def _turn(self) -> Iterator[LoadedModel]:
        """The model, for one call at a time."""
        with turn(self._lock, or_else="The model was busy until the deadline."):
            require_time()
            yield self._loaded(download=False)

    def _batches(self, prompts: Sequence[Prompt]) -> list[Sequence[Prompt]]:
        """Split into batches, of one prompt each if they differ in their number of images.

        Some processors refuse such prompts in one batch.
        """
        alike = len({len(prompt.images) for prompt in prompts}) == 1
        size = self.batch_size if alike else 1
        return [prompts[start : start + size] for start in range(0, len(prompts), size)]

    def _loaded(self, *, download: bool) -> LoadedModel:
        if self._model is None:
            with needing("models"):
                from mmsearch_app.rerankers.local_network import load_local

            folder = self.path or fetch(
                self.release, download=download, complete=lambda found: not find_gap(found)
            )
            self._model = load_local(
                folder,
                device=self.device,
                dtype=self.dtype,
                attention=self.attention,
                processing=self.processing,
            )
        return self._model
