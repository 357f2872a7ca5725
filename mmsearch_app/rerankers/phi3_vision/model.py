"""Phi-3 Vision: the Phi-3 of transformers with images. Imports torch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from math import log, sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Phi3Config, Phi3ForCausalLM

from mmsearch_app.inference import Precision, check_layout, choose_device, choose_dtype, shapes_of
from mmsearch_app.rerankers.phi3_vision.checkpoint import (
    Phi3Architecture,
    find_shards,
    read_architecture,
    read_layout,
    read_tensors,
)
from mmsearch_app.rerankers.phi3_vision.tokens import read_stops
from mmsearch_app.rerankers.phi3_vision.vision import ImageTokens

_ARGUMENTS = inspect.signature(Phi3ForCausalLM.forward).parameters
CACHE = "cache" if "cache" in _ARGUMENTS else "past_key_values"
"""The argument and the output that hold the keys and values; transformers 5.24 renamed it."""
TOWER = "model.vision_embed_tokens.img_processor."


class Phi3Vision(Phi3ForCausalLM):
    """A causal language model whose inputs come from `Phi3VisionProcessor`. Thread-safe.

    `generate` is that of transformers: with a cache, greedy or sampled, with logits processors
    and `prefix_allowed_tokens_fn`; it stops at `<|end|>` and `<|endoftext|>` and returns the
    prompt's ids before the answer's. Ids of images are negative: a logits processor that looks
    up the prompt's ids (as the repetition penalty does) must skip the prompt.
    """

    def __init__(self, config: Any, architecture: Phi3Architecture) -> None:
        super().__init__(config)
        self.model.rotary_emb = LongRope(architecture.language)
        self.model.vision_embed_tokens = ImageTokens(architecture.vision, width=config.hidden_size)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        folder: Path,
        *,
        dtype: Precision = "bfloat16",
        device: str = "auto",
        attention: str | None = None,
    ) -> Phi3Vision:
        """Load a folder in the release's layout.

        `device` "auto" is the GPU if there is one. `attention` is an implementation that
        transformers knows; None lets it choose. Raises MissingWeights or InvalidWeights.
        """
        network: Any = build_phi3_vision(read_architecture(folder), attention=attention)
        shards = find_shards(folder)
        check_layout(read_layout(shards), released_phi3_layout(network), origin=folder)
        names = {released_name(key): key for key in network.state_dict()}
        where = choose_device(device)
        tensors = read_tensors(shards, names, device=where, dtype=choose_dtype(dtype))
        network.load_state_dict(tensors, assign=True)
        network.generation_config.eos_token_id = read_stops(folder)
        loaded: Phi3Vision = network.to(where).eval().requires_grad_(requires_grad=False)
        return loaded

    def forward(
        self,
        input_ids: Tensor,
        *,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> Any:
        """As `Phi3ForCausalLM`; `.logits` is (rows, length or `logits_to_keep`, vocabulary).

        `pixel_values` and `image_sizes` are the images of all rows, in order. Rows padded on the
        left get the same positions as without padding.
        """
        if position_ids is None and kwargs.get(CACHE) is None and attention_mask is not None:
            position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        return super().forward(
            inputs_embeds=self.embed(input_ids, pixel_values, image_sizes),
            attention_mask=attention_mask,
            position_ids=position_ids,
            logits_to_keep=logits_to_keep,
            **kwargs,
        )

    def embed(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
    ) -> Tensor:
        """Embed words and images for the language model, (rows, length, width).

        Images fill the negative ids in the order in which they are given, whatever the numbers.
        Raises ValueError if the ids leave room for another number of tokens.
        """
        spots = input_ids < 0
        words: Tensor = self.model.embed_tokens(input_ids.masked_fill(spots, 0))
        if input_ids.shape[1] == 1:  # a step of an answer: counting would make the CPU wait
            return words
        room, tokens = int(spots.sum()), words.new_empty(0, words.shape[-1])
        if pixel_values is not None and image_sizes is not None:
            tokens = self.model.vision_embed_tokens(pixel_values, image_sizes)
        if len(tokens) != room:
            msg = (
                f"The ids have room for {room} tokens of images, the images make "
                f"{len(tokens)}: pass what one call of the processor returned."
            )
            raise ValueError(msg)
        return words.masked_scatter(spots.unsqueeze(-1), tokens)

    @torch.inference_mode()
    def next_logits(self, **inputs: Any) -> Tensor:
        """Return the logits of each row's first new token, float32 (rows, vocabulary)."""
        logits: Tensor = self(**inputs, logits_to_keep=1, use_cache=False).logits
        return logits[:, -1].float()

    def prepare_inputs_for_generation(  # type: ignore[override]
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Drop the cache at the step at which a row becomes longer than the original context.

        Its keys were turned by the short factors, and every position has the long ones from
        there on. Upstream keeps them, and answers otherwise than its own pass without a cache.
        """
        cache = kwargs.get(CACHE)
        begun = cache is not None and cache.get_seq_length() > 0
        added = kwargs.get("next_sequence_length") or 1
        if begun and self._outgrows(input_ids, attention_mask, added):
            stale = {CACHE, "next_sequence_length", "cache_position"} & kwargs.keys()
            kwargs |= dict.fromkeys(stale)
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(  # type: ignore[no-untyped-call]
            input_ids, attention_mask=attention_mask, **kwargs
        )
        inputs.pop("inputs_embeds", None)  # transformers 4 names it, and `forward` makes its own
        if inputs["input_ids"].shape[1] > 1:
            inputs |= {"pixel_values": pixel_values, "image_sizes": image_sizes}
        return inputs

    def _outgrows(self, input_ids: Tensor, attention_mask: Tensor | None, added: int) -> bool:
        """Whether the last `added` tokens take a row beyond the original context."""
        limit: int = self.config.original_max_position_embeddings
        if (length := input_ids.shape[1]) <= limit:
            return False
        if attention_mask is None:
            return length - added <= limit
        lengths = attention_mask.sum(-1)
        return bool(((lengths > limit) & (lengths - added <= limit)).any())


class LongRope(nn.Module):
    """Rotary positions of a long context (LongRoPE, arXiv 2402.13753).

    A row that is longer than the original context has the long factors, any other the short.
    The class of transformers writes the factors of a call's longest row into the shared model:
    two threads with a short and a long prompt get each other's, and a row's answer depends on
    its neighbours.
    """

    def __init__(self, language: Mapping[str, Any]) -> None:
        super().__init__()
        rope = language["rope_parameters"]
        self.original_length: int = language["original_max_position_embeddings"]
        growth = max(rope["factor"], 1.0)
        self.scale = sqrt(1 + log(growth) / log(self.original_length))
        self.short = _frequencies(rope["short_factor"], rope["rope_theta"])
        self.long = _frequencies(rope["long_factor"], rope["rope_theta"])

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines and sines, (rows, length, head width), in the dtype of `x`.

        `position_ids` is (rows, length); its maximum is a row's length minus 1.
        """
        long = position_ids.amax(-1, keepdim=True) >= self.original_length
        frequencies = torch.where(long, self.long, self.short)
        angles = position_ids[:, :, None].float() * frequencies[:, None]
        both = torch.cat([angles, angles], dim=-1)
        return (both.cos() * self.scale).to(x.dtype), (both.sin() * self.scale).to(x.dtype)


def _frequencies(factors: Sequence[float], theta: float) -> nn.Buffer:
    """On the CPU even if the model is built on the meta device: no file contains them."""
    places = torch.arange(len(factors), device="cpu").float() / len(factors)
    scaled = torch.tensor(factors, device="cpu") * theta**places
    return nn.Buffer(1.0 / scaled, persistent=False)


def build_phi3_vision(
    architecture: Phi3Architecture, *, attention: str | None = None
) -> Phi3Vision:
    """Build the network on the meta device: its weights take no memory yet."""
    chosen: dict[str, Any] = {"attn_implementation": attention}
    config = Phi3Config(**architecture.language, **chosen)
    with torch.device("meta"):
        return Phi3Vision(config, architecture)


def released_name(key: str) -> str:
    """The name of a key in the released file: transformers 5 dropped a level of the tower's."""
    rest = key.removeprefix(TOWER)
    if rest == key or rest.startswith("vision_model."):
        return key
    return f"{TOWER}vision_model.{rest}"


def released_phi3_layout(network: Phi3Vision) -> dict[str, tuple[int, ...]]:
    """Return every key of the released file with its shape, with the tower's unused last layer."""
    layout = {released_name(key): shape for key, shape in shapes_of(network.state_dict()).items()}
    last = f"encoder.layers.{network.model.vision_embed_tokens.layers}."
    first = "encoder.layers.0."
    unused = {key.replace(first, last): s for key, s in layout.items() if first in key}
    return layout | unused
