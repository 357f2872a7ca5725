"""What each mode of reranking costs: tokens, forward passes and time, all in one run.

The model is an Idefics3 with random weights, so nothing is downloaded, and the results say nothing
about the quality of an order. Its tokenizer is trained on the catalogue's texts; a real one splits
the prompts into somewhat more tokens. A random model writes its reason up to the limit, while a
trained one stops after a sentence, so the costs of modes with a reason are upper bounds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from example_shop.catalogue import Item, draw, items
from mmsearch_app.inference.content import Content
from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.local import LocalVLM
from mmsearch_app.rerankers.vlm import Prompt

TILE = 364
NAMES = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|end|>"}
MARKS = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
TEMPLATE = (
    "<|begin|>{% for message in messages %}{{ message['role'] }}: "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|end|>\nassistant: {% endfor %}"
)
SIZES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "small": (
        {"hidden_size": 384, "intermediate_size": 1024, "layers": 6, "heads": 6, "kv": 2},
        {"hidden_size": 192, "intermediate_size": 768, "layers": 4, "heads": 3, "patch": 26},
    ),
    "256m": (
        {"hidden_size": 576, "intermediate_size": 1536, "layers": 30, "heads": 9, "kv": 3},
        {"hidden_size": 768, "intermediate_size": 3072, "layers": 12, "heads": 12, "patch": 14},
    ),
    "2b": (
        {"hidden_size": 2048, "intermediate_size": 8192, "layers": 24, "heads": 32, "kv": 32},
        {"hidden_size": 1152, "intermediate_size": 4304, "layers": 27, "heads": 16, "patch": 14},
    ),
}
"""Language model and vision tower. "256m" and "2b" are the sizes of SmolVLM 256M and SmolVLM2 2.2B;
"small" takes about a minute on a CPU."""
WAYS: dict[str, dict[str, Any]] = {
    "listwise": {"mode": "listwise"},
    "listwise, no caption": {"mode": "listwise", "caption": False},
    "grades": {"mode": "grades"},
    "pairs, no reason": {"mode": "pairs", "reason": False},
    "letters, with a reason": {"mode": "letters"},
    "letters": {"mode": "letters", "reason": False},
}


@dataclass
class Meter:
    """Counts what goes through a model."""

    passes: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0

    def count(self, _: Any, __: Any, given: dict[str, Any]) -> None:
        """Count one forward pass; a hook that runs before it."""
        rows, length = given["input_ids"].shape
        self.passes += 1
        if length > 1:
            self.prompt_tokens += rows * length
        else:
            self.new_tokens += rows


@contextmanager
def metered(network: Any) -> Iterator[Meter]:
    meter = Meter()
    hook = network.register_forward_pre_hook(meter.count, with_kwargs=True)
    try:
        yield meter
    finally:
        hook.remove()


def train_tokenizer(texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8000,
        special_tokens=["<|begin|>", "<|end|>", *MARKS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, additional_special_tokens=list(MARKS), **NAMES
    )


def write_model(folder: Path, size: str, *, dtype: str) -> float:
    """Save an Idefics3 in the layout of the hub; returns its millions of parameters."""
    import torch
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        Idefics3Processor,
    )

    torch.manual_seed(1)
    text, tower = SIZES[size]
    tokenizer = train_tokenizer([item.title + ". " + item.description for item in items()])
    side = TILE // tower["patch"]
    scale = 2 if side % 2 == 0 else 3
    config: Any = Idefics3Config(
        text_config={
            "model_type": "llama",
            "vocab_size": 49280,
            "hidden_size": text["hidden_size"],
            "intermediate_size": text["intermediate_size"],
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "num_key_value_heads": text["kv"],
            "max_position_embeddings": 16384,
            "pad_token_id": 1,
        },
        vision_config={
            "hidden_size": tower["hidden_size"],
            "intermediate_size": tower["intermediate_size"],
            "num_hidden_layers": tower["layers"],
            "num_attention_heads": tower["heads"],
            "image_size": TILE,
            "patch_size": tower["patch"],
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=scale,
    )
    network = Idefics3ForConditionalGeneration(config).to(getattr(torch, dtype))
    network.save_pretrained(folder)
    processor = Idefics3ImageProcessorPil(
        size={"longest_edge": 4 * TILE}, max_image_size={"longest_edge": TILE}
    )
    Idefics3Processor(
        image_processor=processor,
        tokenizer=tokenizer,
        image_seq_len=(side // scale) ** 2,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return float(sum(weight.numel() for weight in network.parameters()) / 1e6)


def show(item: Item) -> Content:
    return Content(image=draw(item, view=0, size=480), text=item.title)


def measure(
    model: LocalVLM, options: dict[str, Any], shown: Sequence[Content], *, repeat: int
) -> tuple[Meter, float]:
    """The cost of one call; the seconds are the fewest of `repeat` calls."""
    import torch

    reranker = VisionReranker(model=model, layout="idefics3", window=15, **options)
    query = Content(image=shown[0].image, text="like this, but in blue")
    loaded: Any = model._model
    best = float("inf")
    for _ in range(repeat):
        with metered(loaded.network) as meter:
            started = time.perf_counter()
            ranking = reranker.rerank(query, shown[1:])
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
        assert len(ranking.order) == len(shown) - 1
    return meter, best


def render(
    size: str = "small",
    candidates: Sequence[int] = (9,),
    *,
    device: str = "auto",
    dtype: str = "",
    repeat: int = 1,
    batch: int = 4,
) -> str:
    """A line about the model, and a table for each number of candidates."""
    dtype = dtype or ("float32" if size == "small" else "bfloat16")
    every = items()
    shown = [show(every[place * 17 % len(every)]) for place in range(max(candidates) + 1)]
    with tempfile.TemporaryDirectory() as folder:
        millions = write_model(Path(folder), size, dtype=dtype)
        chosen: Any = dtype
        model = LocalVLM(path=folder, device=device, dtype=chosen, batch_size=batch)
        model.warm_up()
        model.generate([Prompt(parts=("Hello.",))], max_tokens=8)
        loaded: Any = model._model
        about = f"Idefics3, {millions:.0f} M random parameters, {dtype}, {loaded.device}"
        tables = [render_table(model, shown[: n + 1], repeat=repeat) for n in candidates]
    return "\n\n".join([f"{about}, batches of {batch}.", *tables])


def render_table(model: LocalVLM, shown: Sequence[Content], *, repeat: int) -> str:
    columns = "prompt tokens | new tokens | forward passes | seconds | times `letters`"
    lines = [
        f"| {len(shown) - 1} candidates | {columns} |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    costs = {name: measure(model, options, shown, repeat=repeat) for name, options in WAYS.items()}
    least = costs["letters"][1]
    for name, (meter, seconds) in costs.items():
        counts = f"{meter.prompt_tokens} | {meter.new_tokens} | {meter.passes}"
        lines.append(f"| {name} | {counts} | {seconds:.2f} | {seconds / least:.1f} |")
    return "\n".join(lines)
