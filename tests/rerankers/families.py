"""Tiny models of two more families, whose processors need special tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.embedders.checkpoints import TOWER, train_tokenizer

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "head_dim": 16,
    "pad_token_id": 1,
}
GEMMA_MARKS = {
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
    "image_token": "<image_soft_token>",
}
GEMMA_TURNS = ("<start_of_turn>", "<end_of_turn>")
GEMMA_CHAT = (
    "<bos>{% for message in messages %}<start_of_turn>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<start_of_image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_turn>\n{% endfor %}<start_of_turn>model\n"
)
QWEN_MARKS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
QWEN_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_gemma3(folder: Path) -> Path:
    """A Gemma 3 with images of 64 × 64 as four tokens; needs no torchvision."""
    import torch
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessorPil,
        Gemma3Processor,
        PreTrainedTokenizerFast,
    )

    torch.manual_seed(3)
    marks = (*GEMMA_MARKS.values(), *GEMMA_TURNS)
    trained = train_tokenizer("<bos>", "<eos>", limit=8192, more=marks)
    trained.backend_tokenizer.post_processor = None
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=trained.backend_tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<eos>",
        unk_token="<eos>",
        extra_special_tokens=GEMMA_MARKS,
        additional_special_tokens=list(GEMMA_TURNS),
    )
    text = {"num_key_value_heads": 1, "max_position_embeddings": 8192, "sliding_window": 64}
    config = Gemma3Config(
        text_config=SMALL | text | {"vocab_size": len(tokenizer)},
        vision_config=TOWER | {"image_size": 64, "patch_size": 16},
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
    )
    Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    pictures = Gemma3ImageProcessorPil(size={"height": 64, "width": 64})
    Gemma3Processor(
        image_processor=pictures, tokenizer=tokenizer, image_seq_length=4, chat_template=GEMMA_CHAT
    ).save_pretrained(folder)
    return folder


def write_qwen3_vl(folder: Path) -> Path:
    """A Qwen3-VL with at most 64 tokens per image; its processor needs torchvision."""
    import torch
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    torch.manual_seed(1)
    tokenizer = train_tokenizer("<|im_start|>", "<|im_end|>", limit=16384, more=QWEN_MARKS)
    tokenizer.backend_tokenizer.post_processor = None
    image, video, begin, end = tokenizer.convert_tokens_to_ids(list(QWEN_MARKS))
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]}
    text = {"num_key_value_heads": 2, "max_position_embeddings": 16384, "rope_parameters": rope}
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "patch_size": 16,
        "out_hidden_size": 32,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    config = Qwen3VLConfig(
        text_config=SMALL | text | {"vocab_size": len(tokenizer)},
        vision_config=vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=begin,
        vision_end_token_id=end,
    )
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    size = {"shortest_edge": 32 * 32, "longest_edge": 64 * 32 * 32}
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16, size=size),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(patch_size=16),
        chat_template=QWEN_CHAT,
    ).save_pretrained(folder)
    return folder
