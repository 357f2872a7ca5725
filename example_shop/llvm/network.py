"""The network, its processor, and a checkpoint in the layout of Hugging Face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from example_shop.llvm.pictures import SIDE

if TYPE_CHECKING:
    from transformers import Idefics3ForConditionalGeneration

BEGIN, END, PAD = "<|user|>", "<end_of_utterance>", "<|pad|>"
IMAGE, AROUND, WHOLE = "<image>", "<fake_token_around_image>", "<global-img>"
MARKS = (BEGIN, END, PAD, "<|assistant|>", "<|system|>", IMAGE, AROUND, WHOLE)
"""Control tokens, in the order of their ids."""
CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<end_of_utterance>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
LONGEST = 2048
"""Tokens of a prompt with its reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the network is."""

    width: int = 192
    """Of a patch in the vision encoder and of a token."""
    inner: int = 576
    heads: int = 6
    seeing: int = 5
    """Layers of the vision encoder."""
    reading: int = 5
    """Layers of the text model."""
    patch: int = 16
    """Pixels."""
    shuffle: int = 4
    """Patches along the side of a square that becomes one token."""

    @property
    def tokens(self) -> int:
        """Tokens of one picture."""
        return (SIDE // self.patch // self.shuffle) ** 2


def build_network(size: Size, *, vocabulary: int) -> Idefics3ForConditionalGeneration:
    """A network with random weights, in float32."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    shared = {"hidden_size": size.width, "intermediate_size": size.inner}
    text = shared | {
        "model_type": "llama",
        "vocab_size": vocabulary,
        "num_hidden_layers": size.reading,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "max_position_embeddings": LONGEST,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "bos_token_id": MARKS.index(BEGIN),
        "eos_token_id": MARKS.index(END),
        "pad_token_id": MARKS.index(PAD),
    }
    vision = shared | {
        "num_hidden_layers": size.seeing,
        "num_attention_heads": max(1, size.heads // 2),
        "image_size": SIDE,
        "patch_size": size.patch,
    }
    more: dict[str, Any] = {
        "pad_token_id": MARKS.index(PAD),
        "bos_token_id": MARKS.index(BEGIN),
        "eos_token_id": MARKS.index(END),
    }
    config = Idefics3Config(
        text_config=text,
        vision_config=vision,
        image_token_id=MARKS.index(IMAGE),
        scale_factor=size.shuffle,
        tie_word_embeddings=True,
        **more,
    )
    return Idefics3ForConditionalGeneration(config)


def build_processor(tokenizer: Any, size: Size) -> Any:
    """What makes inputs of pictures and words: one square of SIDE pixels a picture, no tiles."""
    from transformers import Idefics3ImageProcessorPil, Idefics3Processor

    pictures = Idefics3ImageProcessorPil(
        size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE}, do_image_splitting=False
    )
    return Idefics3Processor(
        image_processor=pictures, tokenizer=tokenizer, image_seq_len=size.tokens, chat_template=CHAT
    )


def save_checkpoint(folder: Path, network: Any, processor: Any) -> None:
    """Write weights in float16 and everything that loads them."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    before = next(network.parameters()).dtype
    network.to(torch.float16).save_pretrained(folder)
    network.to(before)
    processor.save_pretrained(folder)
