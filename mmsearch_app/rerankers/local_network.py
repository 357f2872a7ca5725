"""A loaded vision-language model with its processor. Imports torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import GenerationConfig

from mmsearch_app.inference import (
    MissingWeights,
    ModelFailed,
    Precision,
    choose_device,
    choose_dtype,
    defuse,
    find_marks,
    require_time,
)
from mmsearch_app.rerankers.replies.constraints import Constraint, Vocabulary
from mmsearch_app.rerankers.replies.grammar import Grammar
from mmsearch_app.rerankers.replies.schemas import grades_form
from mmsearch_app.rerankers.replies.thoughts import find_answer
from mmsearch_app.rerankers.vlm import Prompt

PACKAGES = ("torchvision", "num2words")
"""What some processors need. No extra installs it: not every torch has a torchvision."""


class LoadedModel:
    """A network of transformers, or one with the same interface; for one thread at a time."""

    def __init__(self, network: Any, processor: Any, *, device: torch.device) -> None:
        self.network = network
        self.processor = processor
        self.device = device
        self.tokenizer = processor.tokenizer
        self.tokenizer.padding_side = "left"
        self.vocabulary = Vocabulary(self.tokenizer)
        self.stops = _find_stops(network, self.tokenizer)
        self._marks = find_marks(self.tokenizer)

    def warm_up(self) -> None:
        """Look at one image, and find the tokens that a reason may contain (takes seconds)."""
        image = Image.new("RGB", (336, 336), "grey")
        self.score([Prompt(parts=(image, "Is this grey?"))], ["yes", "no"])
        grammar = grades_form(1).grammar
        if (state := grammar.read(b'{"A": 0, "reason": "')) is not None:
            self.vocabulary.allowed(grammar, state)

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        grammar: Grammar | None,
        temperature: float,
    ) -> list[str]:
        """Return one reply per prompt; with a grammar, complete unless `max_tokens` cuts it.

        Raises ModelFailed if the grace period after the deadline ends.
        """
        require_time()
        inputs = self.prepare(prompts)
        processors: list[Any] = [_watch_time]
        if grammar is not None:
            processors.append(Constraint(grammar, self.vocabulary, self.stops))
        ids = self.network.generate(
            **inputs,
            generation_config=self._settings(max_tokens, temperature),
            logits_processor=processors,
        )
        rows: list[list[int]] = ids[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._decode(row, exactly=grammar is not None) for row in rows]

    @torch.inference_mode()
    def score(self, prompts: Sequence[Prompt], words: Sequence[str]) -> list[tuple[float, ...]]:
        """Return the logits of each word as the beginning of the reply, one row per prompt.

        Raises ValueError if two words begin with the same token.
        """
        require_time()
        tokens = self._first_tokens(words)
        inputs = self.prepare(prompts)
        logits: Tensor = self.network(**inputs, logits_to_keep=1, use_cache=False).logits
        last = logits[:, -1].float().cpu()
        columns = [last[:, ids].amax(dim=1) for ids in tokens]
        rows: list[list[float]] = torch.stack(columns, dim=1).tolist()
        return [tuple(row) for row in rows]

    def prepare(self, prompts: Sequence[Prompt]) -> Any:
        """Prompts as inputs of the network, on its device, short ones padded on the left."""
        texts = [
            self.processor.apply_chat_template(self._converse(prompt), add_generation_prompt=True)
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

    def _converse(self, prompt: Prompt) -> list[dict[str, Any]]:
        parts = [
            {"type": "text", "text": defuse(defuse(part), self._marks)}
            if isinstance(part, str)
            else {"type": "image"}
            for part in prompt.parts
        ]
        user = {"role": "user", "content": parts}
        if not prompt.system:
            return [user]
        return [
            {
                "role": "system",
                "content": [{"type": "text", "text": defuse(defuse(prompt.system), self._marks)}],
            },
            user,
        ]

    def _settings(self, max_tokens: int, temperature: float) -> Any:
        """Our own: a model's defaults, such as a repetition penalty, would distort grades."""
        settings: Any = GenerationConfig
        sampled = {"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
        return settings(
            max_new_tokens=max_tokens,
            do_sample=temperature > 0,
            repetition_penalty=1.0,
            eos_token_id=self.stops,
            pad_token_id=self.stops[0],
            **sampled,
        )

    def _decode(self, ids: Sequence[int], *, exactly: bool) -> str:
        if not exactly:  # control tokens are needed to tell thoughts from the answer
            text: str = self.tokenizer.decode(ids, skip_special_tokens=False)
            return self._marks.sub("", find_answer(text))
        written = b"".join(self.vocabulary.pieces.get(token, b"") for token in ids)
        return written.decode("utf-8", "replace")

    def _first_tokens(self, words: Sequence[str]) -> list[list[int]]:
        tokens = [self.vocabulary.beginnings(word) for word in words]
        every = [token for ids in tokens for token in ids]
        if not all(tokens) or len(set(every)) < len(every):
            msg = f"The model's tokenizer cannot tell the words {', '.join(words)} apart."
            raise ValueError(msg)
        return tokens


def load_local(
    folder: Path,
    *,
    device: str,
    dtype: Precision,
    attention: str | None,
    processing: Mapping[str, Any],
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
    return LoadedModel(network, processor, device=where)


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


def _find_stops(network: Any, tokenizer: Any) -> list[int]:
    """The ids that end a reply, of the model's generation config and its tokenizer."""
    configured = network.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    found = dict.fromkeys([*listed, tokenizer.eos_token_id])
    return [int(token) for token in found if token is not None]
