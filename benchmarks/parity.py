"""Compare our model loaders with the code of the models' authors.

    python -m benchmarks.parity

Compares results and tensor layouts with `tests/reference`: the results of the authors' code with
small random weights, and the names and shapes of all released tensors. Nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch_app.embedders.runtime import TorchEmbedder
from mmsearch_app.inference.content import Content
from tests.embedders import kit
from tests.rerankers.phi3_vision import kit as phi3_kit

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table of differences."""

    fixture: str
    compared: str
    count: int
    difference: float
    """The largest absolute difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A row of the table of keys."""

    release: str
    released: Shapes
    ours: Shapes

    @property
    def matched(self) -> int:
        """The number of keys that both have with the same shape."""
        return len(self.released.items() & self.ours.items())


def compare() -> Iterator[Row]:
    """Compare every fixture, stage by stage."""
    for model in ("base", "m3"):
        folder = kit.VISUALIZED / f"tiny-{model}"
        name = f"Visualized BGE {model}"
        yield from _compare_embedder(name, kit.visualized(model), folder, "visualized_bge")
    yield from _compare_embedder("BGE-VL", kit.make("bge-vl", kit.CLIP), kit.CLIP, "bge_vl")
    yield from _compare_magic_lens()
    yield from _compare_phi3_vision()


def _compare_embedder(
    fixture: str, embedder: TorchEmbedder, folder: Path, family: str
) -> Iterator[Row]:
    """Compare pixels and vectors, one image or text at a time."""
    import torch

    from mmsearch_app.inference.pixels import normalise_pixels

    texts, numbers = kit.describe(folder)["texts"], kit.read(folder)
    network: Any = embedder._loaded(download=False)
    gaps: dict[str, list[float]] = defaultdict(list)
    for key, expected in numbers.items():
        kind, *names = key.split("/")
        if kind == "pixels":
            prepared = network.prepare(kit.picture(names[0], family=family))
            pixels = normalise_pixels([prepared], device=torch.device("cpu"), dtype=torch.float32)
            gaps["pixels"].append(kit.gap(pixels, expected))
        elif kind in KINDS and len(names) == KINDS[kind].parts:
            image = None if kind == "emb_text" else kit.picture(names[0], family=family)
            text = None if kind == "emb_image" else texts[int(names[-1])]
            if kind == "emb_mm" and not text:
                continue  # this project treats an image with empty words as the image alone
            vector = embedder.embed_queries([Content(image=image, text=text)])
            gaps[KINDS[kind].title].append(kit.gap(vector, expected))
    for compared, found in gaps.items():
        yield Row(fixture=fixture, compared=compared, count=len(found), difference=max(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    title: str
    parts: int


KINDS = {
    "emb_image": _Kind(title="vectors of pictures", parts=1),
    "emb_text": _Kind(title="vectors of words", parts=1),
    "emb_mm": _Kind(title="vectors of both, composed", parts=2),
}


def _compare_magic_lens() -> Iterator[Row]:
    import torch

    from mmsearch_app.inference.pixels import normalise_pixels, stretch

    numbers = kit.read(kit.LENS / "tiny")
    with tempfile.TemporaryDirectory() as folder:
        network: Any = kit.magic_lens(Path(folder))._loaded(download=False)
    squares = [stretch(image[:, 6:47], 32) for image in numbers["image"]]
    pixels = normalise_pixels(squares, device=torch.device("cpu"), dtype=torch.float32)
    with torch.inference_mode():
        fused = network.network(pixels, torch.from_numpy(numbers["ids"]).long())
    vectors = torch.nn.functional.normalize(fused, dim=-1)
    pairs = {
        "pixels": (pixels.permute(0, 2, 3, 1), numbers["preprocessed"]),
        "vectors of both, composed": (vectors, numbers["embedding"]),
    }
    for compared, (found, expected) in pairs.items():
        difference = kit.gap(found, expected)
        yield Row(fixture="MagicLens", compared=compared, count=len(found), difference=difference)


def _compare_phi3_vision() -> Iterator[Row]:
    model, gaps = phi3_kit.load(), defaultdict[str, list[float]](list)
    for name, kinds in phi3_kit.DESCRIPTION["images"].items():
        for expected in kinds.values():
            process = phi3_kit.processor(expected["num_crops"])
            made = process("<|image_1|>", [phi3_kit.picture(name)])
            digest = hashlib.sha256(made["pixel_values"].numpy().tobytes()).hexdigest()
            same = digest == expected["pixel_values_sha256_f32"]
            gaps["pixels, by SHA-256"].append(0.0 if same else float("inf"))
    for name, case in phi3_kit.CASES.items():
        given = phi3_kit.inputs(name)
        if case["images"]:
            parts = (given[key] for key in ("input_ids", "pixel_values", "image_sizes"))
            shown = model.embed(*parts)[0].detach()
            pair = phi3_kit.at_stored_positions(shown, name, "inputs_embeds")
            gaps["words and pictures as embedded"].append(kit.gap(*pair))
        logits = model(**given).logits[0].detach()
        pair = phi3_kit.at_stored_positions(logits, name, "logits")
        gaps["logits of the prompt"].append(kit.gap(*pair))
        ids = np.array(phi3_kit.answer(model, given)[0])
        gaps["twelve greedy tokens"].append(kit.gap(ids, np.array(case["greedy12"])))
    for compared, found in gaps.items():
        row = Row(
            fixture="Phi-3 Vision", compared=compared, count=len(found), difference=max(found)
        )
        yield row


def match() -> Iterator[Keys]:
    """Compare the keys of every released layout in the fixtures."""
    import torch

    from mmsearch_app.embedders.magiclens import architecture as lenses
    from mmsearch_app.embedders.magiclens.checkpoint import name_parameter, reorient
    from mmsearch_app.embedders.magiclens.network import MagicLensNetwork
    from mmsearch_app.embedders.visualized_bge import architecture as towers
    from mmsearch_app.embedders.visualized_bge.network import released_bge_layout
    from mmsearch_app.inference.weights import shapes_of

    for model in ("base", "m3"):
        released = _read_layout(kit.VISUALIZED / f"{model}_state_dict_layout.json")
        ours = released_bge_layout(towers.BGE_ARCHITECTURES[model])
        yield Keys(release=f"Visualized BGE {model}", released=released, ours=ours)
    flax = json.loads((kit.LENS / "base_flax_keys.json").read_text(encoding="utf-8"))
    turned = {
        name_parameter(k): reorient(k, torch.empty(s, device="meta")) for k, s in flax.items()
    }
    with torch.device("meta"):
        lens = shapes_of(MagicLensNetwork(lenses.MAGICLENS_ARCHITECTURES["base"]).state_dict())
    yield Keys(release="MagicLens base", released=shapes_of(turned), ours=lens)
    yield _match_phi3_vision()


def _match_phi3_vision() -> Keys:
    from mmsearch_app.rerankers.phi3_vision.checkpoint import CLIP_LARGE_336, Phi3Architecture
    from mmsearch_app.rerankers.phi3_vision.model import build_phi3_vision, released_phi3_layout

    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 32.0}
    rope |= {"short_factor": [1.0] * 48, "long_factor": [2.0] * 48}
    sizes = {"max_position_embeddings": 131072, "original_max_position_embeddings": 4096}
    language = {**sizes, "rope_parameters": rope}
    ours = released_phi3_layout(
        build_phi3_vision(Phi3Architecture(language=language, vision=CLIP_LARGE_336))
    )
    released = _read_layout(phi3_kit.FOLDER / "state_dict_layout.json")
    return Keys(release="Phi-3 Vision 128k instruct", released=released, ours=ours)


def _read_layout(file: Path) -> Shapes:
    layout = json.loads(file.read_text(encoding="utf-8"))["layout"]
    return {key: tuple(shape) for key, (shape, *_) in layout.items()}


def render_differences(rows: Iterable[Row]) -> str:
    lines = [
        "| fixture | compared | how many | largest difference |",
        "| --- | --- | ---: | ---: |",
    ]
    for row in rows:
        difference = f"{row.difference:.1e}" if row.difference else "none"
        lines.append(f"| {row.fixture} | {row.compared} | {row.count} | {difference} |")
    return "\n".join(lines)


def render_keys(every: Iterable[Keys]) -> str:
    lines = ["| released weights | keys | matched by name and shape | ours beyond them | numbers |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for keys in every:
        beyond, numbers = len(keys.ours.keys() - keys.released.keys()), sum_of(keys.released)
        counts = f"{len(keys.released)} | {keys.matched} | {beyond} | {numbers:,}"
        lines.append(f"| {keys.release} | {counts} |")
    return "\n".join(lines)


def sum_of(shapes: Shapes) -> int:
    """The total number of values in tensors of these shapes."""
    return sum(map(prod, shapes.values()))


def main() -> None:
    print(render_differences(compare()))
    print()
    print(render_keys(match()))


if __name__ == "__main__":
    main()
