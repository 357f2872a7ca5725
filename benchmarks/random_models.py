"""The released models at full size with random weights, which run at the same speed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from mmsearch_app.embedders.runtime import TorchEmbedder
from mmsearch_app.inference.options import choose_device, choose_dtype

TEXTS = (
    "but in red",
    "the same shoe without laces, in brown leather",
    "like this one, larger and with a longer handle",
    "more of this, for children",
)
UNKNOWN = "<unknown>"
LAST_ID = 30_000
"""The id of the end of a text: within every vocabulary, and the highest, where CLIP pools."""


def build(model: str, dtype: Any) -> TorchEmbedder:
    """The embedder of that name with random weights. Exits if the name is unknown."""
    import torch
    from transformers import CLIPModel

    from mmsearch_app.embedders import bge_vl, magiclens, visualized_bge
    from mmsearch_app.embedders.magiclens import architecture as lenses
    from mmsearch_app.embedders.magiclens import network as lens
    from mmsearch_app.embedders.visualized_bge import architecture as towers
    from mmsearch_app.embedders.visualized_bge import network as visualized
    from mmsearch_app.inference.words import WordTokenizer

    torch.manual_seed(0)
    family, _, size = model.rpartition("-")
    words = WordTokenizer(make_tokenizer(), pad=1)
    embedder: TorchEmbedder
    if family == "bge-vl":
        clip = CLIPModel(lens.configure(lenses.MAGICLENS_ARCHITECTURES[size]))
        embedder, network = bge_vl.BGEVL(model=size), bge_vl.ComposedCLIP(clip, words)
    elif family == "magiclens":
        fused = lens.MagicLensNetwork(lenses.MAGICLENS_ARCHITECTURES[size])
        embedder = magiclens.MagicLens(model=size, path=os.devnull)
        network = lens.MagicLensEncoder(fused, words)
    elif family == "visualized-bge":
        spliced = visualized.VisualizedNetwork(towers.BGE_ARCHITECTURES[size])
        embedder = visualized_bge.VisualizedBGE(model=size)
        network = visualized.VisualizedEncoder(spliced, words)
    else:
        sys.exit(f"Unknown model {model}: use bge-vl-*, magiclens-* or visualized-bge-*.")
    module = network_module(network).eval().requires_grad_(requires_grad=False)
    module.to(device=choose_device("auto"), dtype=choose_dtype(dtype))
    embedder._network = network
    return embedder


def network_module(network: Any) -> Any:
    return network.model if hasattr(network, "model") else network.network


def network_device(network: Any) -> Any:
    return next(network_module(network).parameters()).device


def make_tokenizer() -> Any:
    """A tokenizer with one token per word, as real ones have for such common words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    known = sorted({word for text in TEXTS for word in text.replace(",", " ,").split()})
    vocabulary = {word: number + 10 for number, word in enumerate(known)}
    vocabulary |= {"<start>": LAST_ID - 1, "<end>": LAST_ID, UNKNOWN: 3}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", LAST_ID - 1), ("<end>", LAST_ID)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=UNKNOWN)


def bare(network: Any, count: int, *, images: bool) -> Callable[[], Any]:
    """The forward pass alone, on tensors that are on the device already."""
    import torch

    module = network_module(network)
    first = next(module.parameters())
    pixels = torch.rand(count, 3, 224, 224, device=first.device, dtype=first.dtype)
    texts = [""] * count if images else [TEXTS[number % 4] for number in range(count)]
    ids, mask = network.words(texts, limit=77, device=first.device)
    if hasattr(module, "get_image_features"):
        if images:
            return lambda: module.get_image_features(pixel_values=pixels)
        return lambda: module.get_text_features(input_ids=ids, attention_mask=mask)
    if hasattr(module, "fusion"):
        return lambda: module(pixels, ids)
    return lambda: module(pixels if images else None, ids, mask)
