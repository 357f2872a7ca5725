"""A vision-language model in this process on ONNX Runtime: Idefics3 and SmolVLM, without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmsearch_app.inference import (
    Release,
    load_onnxruntime,
    needing,
    require_at_least,
    require_origin,
)
from mmsearch_app.rerankers.idefics3 import (
    FOLDER,
    PARTS,
    Idefics3Model,
    Provider,
    RuntimeOptions,
    find_data_gap,
    list_files,
    load_idefics3,
    name_files,
)
from mmsearch_app.rerankers.in_process import InProcessVLM


class OnnxVLM(InProcessVLM[Idefics3Model]):
    """An exported model of the hub or, by `path`, of a folder, without torch and transformers.

    It reads the layout in which such models are published for ONNX Runtime: `vision_encoder.onnx`,
    `embed_tokens.onnx` and `decoder_model_merged.onnx` in the folder or in its `onnx`, beside the
    configuration, `tokenizer.json` and the chat template. Its family is Idefics3 or SmolVLM.
    Nothing is loaded and ONNX Runtime is not imported before the first call or `warm_up`. The model
    loads once, under a lock, and again in a forked child; it answers one call at a time, greedily.
    Only `warm_up` downloads anything, unless `local_files_only`.

    `variant` is the suffix of the files, such as "q4" or "fp16", or a suffix for each of
    `vision_encoder`, `embed_tokens` and `decoder_model_merged`. `threads` compute in parallel; None
    takes one for each core that this process may use. `providers` are those of ONNX Runtime, by
    name or as a name with options, in order of preference. `batch_size` tiles of an image go
    through the vision encoder together; more take more memory. `max_images` is how many images a
    prompt may have; `processing` replaces options of the image processor, for instance
    `{"do_image_splitting": False}`.

    Raises ValueError for options that cannot work.
    """

    version = "onnx-1"

    def __init__(
        self,
        *,
        model: str = "",
        path: str | os.PathLike[str] | None = None,
        revision: str = "main",
        local_files_only: bool = False,
        variant: str | Mapping[str, str] = "",
        threads: int | None = None,
        providers: Sequence[Provider] = ("CPUExecutionProvider",),
        batch_size: int = 4,
        max_images: int = 1,
        processing: Mapping[str, Any] | None = None,
    ) -> None:
        require_origin(model=model, path=path, example="HuggingFaceTB/SmolVLM-256M-Instruct")
        require_at_least(1, batch_size=batch_size, max_images=max_images)
        if threads is not None:
            require_at_least(1, threads=threads)
        if not isinstance(variant, str) and set(variant) != set(PARTS):
            msg = f"variant must be one suffix, or one for each of {', '.join(PARTS)}."
            raise ValueError(msg)
        self.names = name_files(variant)
        graphs = [f"{FOLDER}/{name}" for name in self.names.values()]
        release = Release(
            repository=model,
            revision=revision,
            required=("config.json", "tokenizer.json", *graphs),
            optional=("*.json", "*.jinja", *(f"{graph}_data*" for graph in graphs)),
        )
        super().__init__(
            release=release, path=path, local_files_only=local_files_only, max_images=max_images
        )
        self.options = RuntimeOptions(threads=threads, providers=providers)
        self.batch_size = batch_size
        self.processing = dict(processing or {})

    def _reset(self) -> None:
        """Forget the model of the parent, whose threads do not exist here."""
        super()._reset()
        if self._model is not None:
            self._model.network.forget()
        self._model = None

    def _load(self, folder: Path) -> Idefics3Model:
        with needing("onnx"):
            import jinja2  # noqa: F401
            import tokenizers  # noqa: F401

            load_onnxruntime()
        return load_idefics3(
            folder,
            names=self.names,
            options=self.options,
            processing=self.processing,
            batch_size=self.batch_size,
        )

    def _is_complete(self, folder: Path) -> bool:
        return not any(find_data_gap(folder / FOLDER / name) for name in self.names.values())

    def _list_files(self, folder: Path) -> list[Path]:
        return list_files(folder, self.names.values())

    def _list_options(self) -> list[Any]:
        return [sorted(self.names.values()), self.processing, self.capabilities.max_images]
