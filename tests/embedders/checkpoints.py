"""Tiny models with random weights, written to disk in the layout of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = (
    "a red blue green shoe bag dress mug without laces but with leather soft large small "
    "like this one and more photo of the in see query document represent for search"
)
PROMPTS = {"query": "represent for search: ", "document": ""}
TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.2,  # large, so that different inputs have clearly different vectors
}


def train_tokenizer(begin: str, end: str, *, limit: int, more: tuple[str, ...] = ()) -> Any:
    """A byte-level tokenizer that puts `begin` (id 0) and `end` (id 1) around a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=[begin, end, *more],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    tokenizer.post_processor = TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, 0), (end, 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=limit,
        bos_token=begin,
        eos_token=end,
        pad_token=end,
        unk_token=end,
        additional_special_tokens=list(more),
    )


def write_clip(folder: Path) -> Path:
    """A CLIP with 16 dimensions, images of 32 × 32 and 32 tokens."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

    torch.manual_seed(1)
    tokenizer = train_tokenizer("<|startoftext|>", "<|endoftext|>", limit=32)
    text = TOWER | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 32,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    vision = TOWER | {"image_size": 32, "patch_size": 8}
    config = CLIPConfig(
        text_config=text, vision_config=vision, projection_dim=16, initializer_factor=5.0
    )
    CLIPModel(config).save_pretrained(folder)
    pictures = CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    CLIPProcessor(image_processor=pictures, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def write_siglip(folder: Path) -> Path:
    """A SigLIP with 32 dimensions, images of 32 × 32 and always 64 tokens."""
    import torch
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel, SiglipProcessor

    torch.manual_seed(2)
    tokenizer = train_tokenizer("<s>", "</s>", limit=64)
    tokenizer.model_input_names = ["input_ids"]
    text = TOWER | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 64,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    vision = TOWER | {"image_size": 32, "patch_size": 8}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    pictures = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    SiglipProcessor(image_processor=pictures, tokenizer=tokenizer).save_pretrained(folder)
    return folder


CHAT = (
    "{% for message in messages %}<|begin|>{{ message['role'] }}:"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|end|>{% endfor %}"
)
MARKS = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")


def write_idefics3(folder: Path, *, side: int = 32, limit: int = 512) -> Path:
    """A vision-language model with 32 dimensions (Idefics3, which needs no torchvision).

    It takes images of at most `side` pixels, without tiles, and `limit` tokens.
    """
    import torch
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        Idefics3Processor,
    )

    torch.manual_seed(3)
    tokenizer = train_tokenizer("<|begin|>", "<|end|>", limit=limit, more=MARKS)
    tokenizer.backend_tokenizer.post_processor = None
    text = TOWER | {
        "model_type": "llama",
        "vocab_size": len(tokenizer),
        "num_key_value_heads": 2,
        "max_position_embeddings": limit,
        "pad_token_id": 1,
    }
    more: dict[str, Any] = {"pad_token_id": 1}  # which only its base class declares
    config = Idefics3Config(
        text_config=text,
        vision_config=TOWER | {"image_size": side, "patch_size": 8},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        **more,
    )
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    pictures = Idefics3ImageProcessorPil(
        size={"longest_edge": side}, max_image_size={"longest_edge": side}, do_image_splitting=False
    )
    Idefics3Processor(
        image_processor=pictures,
        tokenizer=tokenizer,
        image_seq_len=(side // 16) ** 2,
        chat_template=CHAT,
    ).save_pretrained(folder)
    return folder


def write_sentence_encoder(folder: Path, *, prompts: dict[str, str] | None = None) -> Path:
    """A text model with 32 dimensions (BERT, mean pooling), saved by sentence-transformers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel

    torch.manual_seed(4)
    tokenizer = train_tokenizer("[CLS]", "[SEP]", limit=64)
    plain = folder / "plain"
    sizes = TOWER | {"vocab_size": len(tokenizer), "max_position_embeddings": 64}
    BertModel(BertConfig(**sizes, pad_token_id=1)).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    words = Transformer(str(plain))
    modules = [words, Pooling(32, "mean")]
    model = SentenceTransformer(modules=modules, device="cpu", prompts=prompts)
    model.save_pretrained(str(folder / "saved"), create_model_card=False)
    return folder / "saved"
