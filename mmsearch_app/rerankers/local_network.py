"""A loaded vision-language model with its processor. Imports torch."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor

from mmsearch_app.inference import (
    MissingWeights,
    ModelFailed,
    Precision,
    choose_device,
    choose_dtype,
    find_marks,
    require_time,
)
from mmsearch_app.rerankers.dialogue import Dialogue
from mmsearch_app.rerankers.replies.constraints import Allowed, Tracker, remember
from mmsearch_app.rerankers.replies.grammar import Grammar
from mmsearch_app.rerankers.vlm import Prompt

PACKAGES = ("torchvision", "num2words")
"""What some processors need. No extra installs it: not every torch has a torchvision."""

PLACED = 128
"""Sets of allowed tokens that are cached on the model's device."""


class LoadedModel:
    """A network of transformers, or one with the same interface; for one thread at a time.

    `temperature` 0 is greedy.
    """

    def __init__(
        self, network: Any, processor: Any, *, device: torch.device, temperature: float
    ) -> None:
        self.network = network
        self.processor = processor
        self.device = device
        self.tokenizer = processor.tokenizer
        self.tokenizer.padding_side = "left"
        self.temperature = temperature
        self.dialogue = Dialogue(
            _find_backend(self.tokenizer),
            stops=_find_stops(network, self.tokenizer),
            marks=find_marks(self.tokenizer),
            decode=self._decode,
            control=self.tokenizer.all_special_ids,
        )
        self._placed = PlacedTokens()

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, grammar: Grammar | None
    ) -> list[str]:
        """Return one reply per prompt; with a grammar, complete unless `max_tokens` cuts it.

        Raises ModelFailed if the grace period after the deadline ends.
        """
        require_time()
        inputs = self.prepare(prompts)
        processors: list[Any] = [_watch_time]
        if grammar is not None:
            processors.append(Constraint(self.dialogue.track(grammar), self._placed))
        ids = self.network.generate(
            **inputs, generation_config=self._settings(max_tokens), logits_processor=processors
        )
        rows: list[list[int]] = ids[:, inputs["input_ids"].shape[1] :].tolist()
        return [self.dialogue.read(row, exactly=grammar is not None) for row in rows]

    @torch.inference_mode()
    def score(self, prompts: Sequence[Prompt], words: Sequence[str]) -> list[tuple[float, ...]]:
        """Return the logits of each word as the beginning of the reply, one row per prompt.

        Raises ValueError if two words begin with the same token.
        """
        require_time()
        tokens = self.dialogue.find_first_tokens(words)
        inputs = self.prepare(prompts)
        logits: Tensor = self.network(**inputs, logits_to_keep=1, use_cache=False).logits
        last = logits[:, -1].float().cpu()
        columns = [last[:, ids].amax(dim=1) for ids in tokens]
        rows: list[list[float]] = torch.stack(columns, dim=1).tolist()
        return [tuple(row) for row in rows]

    def prepare(self, prompts: Sequence[Prompt]) -> Any:
        """Prompts as inputs of the network, on its device, short ones padded on the left."""
        texts = [
            self.processor.apply_chat_template(
                self.dialogue.converse(prompt), add_generation_prompt=True
            )
            for prompt in prompts
        ]
        images = [list(prompt.images) for prompt in prompts]
        options: dict[str, Any] = {"return_tensors": "pt"}
        if hasattr(self.processor, "image_processor"):  # that of Phi-3 Vision takes no options
            begin = self.tokenizer.bos_token
            begun = bool(begin) and texts[0].startswith(begin)
            options |= {"padding": True, "add_special_tokens": not begun}
        shown = images if any(images) else None
        return self.processor(text=texts, images=shown, **options).to(self.device)

    def _settings(self, max_tokens: int) -> Any:
        """Our own: a model's defaults, such as a repetition penalty, would distort grades."""
        settings: Any = GenerationConfig
        sampled: dict[str, Any] = {}
        if self.temperature:
            sampled = {"temperature": self.temperature, "top_k": 0, "top_p": 1.0}
        return settings(
            max_new_tokens=max_tokens,
            do_sample=self.temperature > 0,
            repetition_penalty=1.0,
            eos_token_id=list(self.dialogue.stops),
            pad_token_id=self.dialogue.stops[0],
            **sampled,
        )

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False)
        return text


class PlacedTokens:
    """Allowed tokens as tensors on the model's device, cached.

    At each token of a reason these may be a megabyte of ids.
    """

    def __init__(self) -> None:
        self._placed: OrderedDict[Hashable, Tensor] = OrderedDict()

    def on(self, device: torch.device, allowed: Allowed) -> Tensor:
        """Return the ids, int64 on the device."""
        return remember(
            self._placed,
            (allowed.name, device),
            lambda: torch.from_numpy(allowed.ids).to(device),
            most=PLACED,
        )


class Constraint(LogitsProcessor):
    """Allows only tokens that lead to a complete reply, and after it only its end.

    Raises ValueError if no token can go on with the reply.
    """

    def __init__(self, tracker: Tracker, placed: PlacedTokens) -> None:
        self.tracker = tracker
        self._placed = placed
        self._begun: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return `scores` (rows, vocabulary): finite if allowed, else -inf."""
        if self._begun is None:
            self._begun = input_ids.shape[1]
        masked = torch.full_like(scores, -torch.inf)
        for row, written in enumerate(input_ids[:, self._begun :].tolist()):
            found = self.tracker.allowed(tuple(written), size=scores.shape[1])
            allowed = self._placed.on(scores.device, found)
            masked[row, allowed] = torch.nan_to_num(scores[row, allowed], nan=-1e4)
        return masked


def load_local(
    folder: Path,
    *,
    device: str,
    dtype: Precision,
    attention: str | None,
    processing: Mapping[str, Any],
    temperature: float,
) -> LoadedModel:
    """Load the model in a folder. Raises MissingWeights, InvalidWeights or ModelFailed."""
    config = folder / "config.json"
    if not config.is_file():
        msg = f"There is no model in {folder}: it has no config.json."
        raise MissingWeights(msg)
    where = choose_device(device)
    if json.loads(config.read_text(encoding="utf-8")).get("model_type") == "phi3_v":
        from mmsearch_app.rerankers.phi3_vision.model import Phi3Vision
        from mmsearch_app.rerankers.phi3_vision.processor import Phi3VisionProcessor

        network: Any = Phi3Vision.from_pretrained(
            folder, dtype=dtype, device=device, attention=attention
        )
        processor: Any = Phi3VisionProcessor.from_pretrained(folder, **processing)
    else:
        network, processor = _load_native(folder, dtype, attention, processing)
        network = network.to(where).eval()
    return LoadedModel(network, processor, device=where, temperature=temperature)


def _load_native(
    folder: Path, dtype: Precision, attention: str | None, processing: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Network and processor of a family that transformers knows, on the CPU."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    options: dict[str, Any] = {"attn_implementation": attention} if attention else {}
    read: Any = AutoProcessor
    try:
        processor: Any = read.from_pretrained(folder, local_files_only=True, **processing)
        network: Any = AutoModelForImageTextToText.from_pretrained(
            folder, local_files_only=True, dtype=choose_dtype(dtype), **options
        )
    except (OSError, ValueError, ImportError) as error:
        msg = f"The model in {folder} cannot be loaded: {_name_packages(error) or error}"
        raise ModelFailed(msg) from error
    if not getattr(processor, "chat_template", None):
        msg = f"The processor in {folder} has no chat template: take a model trained with one."
        raise ModelFailed(msg)
    return network, processor


def _name_packages(error: Exception) -> str:
    """What to install if a package is missing, else "": transformers' error fills a screen."""
    lacking = [name for name in PACKAGES if name in str(error).lower()]
    if not isinstance(error, ImportError) or not lacking:
        return ""
    return f"its processor needs {lacking[0]}: pip install {lacking[0]}"


def _watch_time(input_ids: Tensor, scores: Tensor) -> Tensor:
    """A logits processor, called at each token. Raises ModelFailed if time is up."""
    require_time()
    return scores


def _find_backend(tokenizer: Any) -> Any:
    """The tokenizer of the library `tokenizers` in one of transformers. Raises ModelFailed."""
    if not hasattr(tokenizer, "backend_tokenizer"):
        msg = f"{type(tokenizer).__name__} is not a fast tokenizer: add a tokenizer.json."
        raise ModelFailed(msg)
    return tokenizer.backend_tokenizer


def _find_stops(network: Any, tokenizer: Any) -> list[int]:
    """The ids that end a reply, of the model's generation config and its tokenizer."""
    configured = network.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    found = dict.fromkeys([*listed, tokenizer.eos_token_id])
    return [int(token) for token in found if token is not None]
