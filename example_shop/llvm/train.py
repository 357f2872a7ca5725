"""Train the shop's vision-language model from nothing: `python -m example_shop.llvm.train`.

First pictures are drawn (once; minutes), then the vision encoder learns to see, then the text
model learns to judge what the encoder, which stays as it is from then on, has seen. Interrupted,
it goes on where it was with the same command. On two processor cores it takes less than three
hours; the same seed gives the same lessons in the same order.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from example_shop.catalogue import VIEWS, items
from example_shop.llvm.batches import Batch, Writer
from example_shop.llvm.descent import Descent
from example_shop.llvm.judging import Reader, batches, loss_of
from example_shop.llvm.lessons import SHARES, VARIABLE, Lesson, Shelf, list_prompts, teach
from example_shop.llvm.looks import Look, held_out
from example_shop.llvm.network import Size, build_network, build_processor, save_checkpoint
from example_shop.llvm.pictures import Pictures, draw_looks, load_pictures
from example_shop.llvm.seeing import (
    Heads,
    accuracies,
    augment,
    labels_of,
    losses,
    normalise,
    see,
    shuffled,
    whiten_patches,
)
from example_shop.llvm.tokens import build_tokenizer

EASY, MIDDLING = 0.1, 0.25
"""Up to these shares of the steps there are one candidate and at most four."""

LOUDNESS = 0.5
"""The root of the mean square of a picture's tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is learned, and how much."""

    pictures: int = 24_000
    seeing: int = 1_300
    """Steps of the vision encoder."""
    judging: int = 2_000
    """Steps of the text model."""
    seeing_rate: float = 3e-3
    judging_rate: float = 3e-3
    seed: int = 1
    size: Size = field(default_factory=Size)
    seen_at_once: int = 64
    """Pictures of a step."""
    read_at_once: int = 6144
    """Tokens of a step, with padding."""
    saved_every: int = 100
    """Steps between two states on the disk, with a check on new pictures."""


def main() -> None:
    """Read the command line, train, and say where the model is."""
    plan = Plan()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("var/llvm"), help="of all that is kept")
    parser.add_argument("--pictures", type=int, default=plan.pictures)
    parser.add_argument("--seeing", type=int, default=plan.seeing, help="steps")
    parser.add_argument("--judging", type=int, default=plan.judging, help="steps")
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    plan = Plan(
        pictures=asked.pictures, seeing=asked.seeing, judging=asked.judging, seed=asked.seed
    )
    begun = time.monotonic()
    train(plan, asked.folder, jobs=asked.threads)
    print(  # noqa: T201 - a command's result
        f"{(time.monotonic() - begun) / 60:.0f} minutes; the model is in {asked.folder}/model"
    )


def train(plan: Plan, folder: Path, *, jobs: int) -> Path:
    """Do what is left to do; returns the folder of the model."""
    pictures = load_pictures(folder, count=plan.pictures, seed=plan.seed, jobs=jobs)
    shelf = Shelf(pictures.looks)
    torch.manual_seed(plan.seed)
    processor = build_processor(make_tokenizer(shelf), plan.size)
    network = build_network(plan.size, vocabulary=len(processor.tokenizer))
    learn_to_see(network, pictures, plan, folder)
    learn_to_judge(network, processor, pictures, shelf, plan, folder)
    save_checkpoint(folder / "model", network, processor)
    return folder / "model"


def make_tokenizer(shelf: Shelf, *, lessons: int = 20_000) -> Any:
    """The tokenizer of the prompts. The words of so many lessons are counted."""
    given = list(islice(teach(shelf, random.Random(0)), lessons))  # noqa: S311 - no secret
    texts = [part for lesson in given for part in lesson.prompt.parts if isinstance(part, str)]
    texts += [lesson.reply for lesson in given] + ["yes", "no", "Yes", "No"] * 2
    return build_tokenizer(list_prompts(), texts, variable=VARIABLE)


def learn_to_see(network: Any, pictures: Pictures, plan: Plan, folder: Path) -> None:
    """Train the vision encoder, or load it if it is trained."""
    module = Seer(network)
    images = torch.from_numpy(np.array(pictures.pixels))
    labels = labels_of(pictures.looks)
    rows = torch.randperm(len(images), generator=torch.Generator().manual_seed(plan.seed))[:512]
    whiten_patches(network, normalise(images[rows]))

    def compute(short: Mapping[str, Tensor], batch: tuple[Tensor, dict[str, Tensor]]) -> Tensor:
        logits = torch.func.functional_call(module, dict(short), (batch[0].bfloat16(),))
        return losses(logits, batch[1])

    def lessons(begin: int) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        chance = torch.Generator().manual_seed(plan.seed + begin)
        for numbers in shuffled(len(images), plan.seen_at_once, chance):
            shown = augment(normalise(images[numbers]), chance)
            yield shown, {name: label[numbers] for name, label in labels.items()}

    looks, shown = load_goods(folder)
    new = [number for number, look in enumerate(looks) if look.triple in held_out()]

    def check() -> str:
        found = accuracies(network, module.heads, shown[new], [looks[n] for n in new])
        return ", ".join(f"{name} {share:.3f}" for name, share in found.items())

    descent = Descent(module, compute, steps=plan.seeing, rate=plan.seeing_rate)
    practise(descent, module, lessons, folder / "seeing.pt", every=plan.saved_every, check=check)


class Seer(torch.nn.Module):
    """The vision encoder with its heads."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.vision_model = network.model.vision_model
        self.connector = network.model.connector
        self.heads = Heads(network.config.text_config.hidden_size)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits of the attributes of each picture's tokens."""
        hidden = self.vision_model(pixel_values=images).last_hidden_state
        found: dict[str, Tensor] = self.heads(self.connector(hidden))
        return found


def load_goods(folder: Path) -> tuple[list[Look], Tensor]:
    """The catalogue's own pictures, which are never learned: looks, and images as the model's."""
    looks = [
        Look(kind=item.kind, colour=item.colour, accent=item.accent, pattern=item.pattern)
        for item in items()
        for _ in range(VIEWS)
    ]
    name = folder / "goods.npy"
    if not name.exists():
        np.save(name, draw_looks(looks))
    return looks, normalise(np.load(name))


def learn_to_judge(
    network: Any, processor: Any, pictures: Pictures, shelf: Shelf, plan: Plan, folder: Path
) -> None:
    """Train the text model on what the vision encoder sees, or load it if it is trained."""
    reader = Reader(network)
    seen = look_at(network, pictures, folder)
    writer = Writer(processor, plan.size)

    def compute(short: Mapping[str, Tensor], batch: Batch) -> Tensor:
        tokens = seen[batch.pictures].bfloat16()
        logits = torch.func.functional_call(reader, dict(short), (batch, tokens))
        return loss_of(logits, batch.targets)

    descent = Descent(reader, compute, steps=plan.judging, rate=plan.judging_rate)

    def lessons(chance: random.Random) -> Iterator[Lesson]:
        easy = teach(shelf, chance, shares={"caption": 0.4, "pairs": 0.4, "reason": 0.2})
        middle, last = teach(shelf, chance, most=4), teach(shelf, chance)
        while True:
            share = descent.done / descent.steps
            yield next(easy if share < EASY else middle if share < MIDDLING else last)

    def given(begin: int) -> Iterator[Batch]:
        chance = random.Random(f"judging {plan.seed} {begin}")  # noqa: S311 - no secret
        return batches(writer, lessons(chance), size=plan.read_at_once, chance=chance)

    check = Check(network, reader, writer, folder, size=plan.read_at_once)
    practise(descent, reader, given, folder / "judging.pt", every=plan.saved_every, check=check)


@torch.no_grad()
def look_at(network: Any, pictures: Pictures, folder: Path) -> Tensor:
    """The tokens of all pictures, (pictures, tokens, width), float16, of mean square LOUDNESS².

    Scales the connector to that: the heads that trained it ignore how large its tokens are, but a
    text model can hardly write beside what is far larger than its own words.
    """
    name = folder / "seen.pt"
    projection = network.model.connector.modality_projection.proj
    if name.exists():
        kept = torch.load(name)
        projection.weight.mul_(kept["scale"])
        return kept["tokens"]  # type: ignore[no-any-return]
    rows = []
    for start in tqdm(range(0, len(pictures.pixels), 128), unit="batch", desc="looking"):
        images = normalise(np.array(pictures.pixels[start : start + 128]))
        rows.append(see(network, images))
    tokens = torch.cat(rows)
    scale = LOUDNESS * tokens.square().mean().rsqrt()
    projection.weight.mul_(scale)
    keep(name, {"tokens": (tokens * scale).half(), "scale": scale})
    return (tokens * scale).half()


class Check:
    """How well the reader does on lessons about the catalogue's own pictures."""

    def __init__(
        self, network: Any, reader: Reader, writer: Writer, folder: Path, *, size: int
    ) -> None:
        self.reader = reader
        looks, images = load_goods(folder)
        with torch.no_grad():
            self.seen = torch.cat([see(network, part) for part in torch.split(images, 128)])
        shelf, chance = Shelf(looks), random.Random(9)  # noqa: S311 - no secret
        self.given = {}
        for task in SHARES:
            lessons = teach(shelf, chance, shares={task: 1})
            given = batches(writer, lessons, size=size, chance=chance)
            self.given[task] = list(islice(given, 3))

    @torch.no_grad()
    def __call__(self) -> str:
        """The mean loss of each task, and the share of tokens whose likeliest value is right."""
        said = []
        for task, given in self.given.items():
            scores = []
            for batch in given:
                logits = self.reader(batch, self.seen[batch.pictures])
                right = logits.argmax(dim=-1) == batch.targets.argmax(dim=-1)
                scores.append((float(loss_of(logits, batch.targets)), float(right.float().mean())))
            loss, share = np.mean(scores, axis=0)
            said.append(f"{task} {loss:.3f} ({share:.3f})")
        return ", ".join(said)


def practise(
    descent: Descent,
    module: torch.nn.Module,
    given: Callable[[int], Iterator[Any]],
    file: Path,
    *,
    every: int,
    check: Callable[[], str],
) -> None:
    """Take the steps that are left. The state is kept in the file, the figures beside it.

    `given` returns the batches from a step on.
    """
    figures: list[dict[str, Any]] = []
    if file.exists():
        state = torch.load(file)
        module.load_state_dict(state["module"])
        descent.load(state["descent"])
        figures = state["figures"]
    batches = given(descent.done)
    bar = tqdm(total=descent.steps, initial=descent.done, unit="step", desc=file.stem)
    recent: list[float] = []
    while descent.done < descent.steps:
        recent.append(descent.step(next(batches)))
        bar.update()
        bar.set_postfix(loss=f"{np.mean(recent[-20:]):.4f}", refresh=False)
        if descent.done % every == 0 or descent.done == descent.steps:
            figures.append({"step": descent.done, "loss": float(np.mean(recent)), "new": check()})
            tqdm.write(f"{file.stem} {figures[-1]}")
            state = {"module": module.state_dict(), "descent": descent.state(), "figures": figures}
            keep(file, state)
            file.with_suffix(".json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
            recent = []
    bar.close()


def keep(file: Path, state: dict[str, Any]) -> None:
    """Replace the file's content at once, so that an interruption leaves the old or the new."""
    unfinished = file.with_suffix(".part")
    torch.save(state, unfinished)
    unfinished.replace(file)


if __name__ == "__main__":
    main()
