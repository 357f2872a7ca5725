"""A vision-language model in this process: any native family of transformers, or Phi-3 Vision."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from mmsearch_app.inference import (
    Precision,
    Release,
    find_gap,
    needing,
    require_at_least,
    require_one_of,
    require_origin,
)
from mmsearch_app.rerankers.in_process import InProcessVLM
from mmsearch_app.rerankers.vlm import Prompt

if TYPE_CHECKING:
    from mmsearch_app.rerankers.local_network import LoadedModel

_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")


class LocalVLM(InProcessVLM["LoadedModel"]):
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

    version = "local-1"

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
        require_at_least(1, batch_size=batch_size, max_images=max_images)
        require_at_least(0, temperature=temperature)
        require_one_of("dtype", dtype, get_args(Precision))
        release = Release(
            repository=model, revision=revision, required=("config.json",), optional=_FILES
        )
        super().__init__(
            release=release, path=path, local_files_only=local_files_only, max_images=max_images
        )
        self.device = device
        self.dtype: Precision = dtype
        self.attention = attention
        self.batch_size = batch_size
        self.temperature = temperature
        self.processing = dict(processing or {})

    def _batches(self, prompts: Sequence[Prompt]) -> list[Sequence[Prompt]]:
        """Split into batches, of one prompt each if they differ in their number of images.

        Some processors refuse such prompts in one batch.
        """
        alike = len({len(prompt.images) for prompt in prompts}) == 1
        size = self.batch_size if alike else 1
        return [prompts[start : start + size] for start in range(0, len(prompts), size)]

    def _is_complete(self, folder: Path) -> bool:
        return not find_gap(folder)

    def _load(self, folder: Path) -> LoadedModel:
        with needing("models"):
            from mmsearch_app.rerankers.local_network import load_local
        return load_local(
            folder,
            device=self.device,
            dtype=self.dtype,
            attention=self.attention,
            processing=self.processing,
            temperature=self.temperature,
        )

    def _list_files(self, folder: Path) -> list[Path]:
        return sorted({file for pattern in _FILES for file in folder.glob(pattern)})

    def _list_options(self) -> list[Any]:
        most = self.capabilities.max_images
        return [self.temperature, self.dtype, self.processing, most, self.attention]
