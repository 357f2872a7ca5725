"""One vision-language model in PyTorch and on ONNX Runtime: memory, CPU time, and equal answers.

    python -m benchmarks.onnx_vlm [--checkpoint FOLDER] [--exported FOLDER --variant fp16]

Without a folder the model is an Idefics3 with random weights and its reasons run to their limit.
Each engine runs in a process of its own, with as many threads. The times are CPU seconds, which
neighbours on the machine change little; the fewest of `--repeat` calls count.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.rerank_costs import SIZES, show, write_model
from example_shop.catalogue import items
from mmsearch_app.inference import Content
from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.vlm import Prompt
from tools.idefics3_onnx import export

Report: TypeAlias = Mapping[str, Any]

MODES: Mapping[str, Mapping[str, Any]] = {
    "letters": {"mode": "letters", "reason": False},
    "pairs": {"mode": "pairs", "reason": False},
    "grades": {"mode": "grades"},
}
WORDS = ("yes", "no", "A", "B")


def build(engine: str, folder: str, variant: str, threads: int, most: int) -> Any:
    processing = {"do_image_splitting": False}
    if engine == "torch":
        import torch

        from mmsearch_app.rerankers.local import LocalVLM

        torch.set_num_threads(threads)
        fixed: dict[str, Any] = {"dtype": "float32", "device": "cpu"}
        return LocalVLM(path=folder, max_images=most, processing=processing, **fixed)
    from mmsearch_app.rerankers.onnx import OnnxVLM

    return OnnxVLM(
        path=folder, variant=variant, threads=threads, max_images=most, processing=processing
    )


def measure(model: Any, *, candidates: int, repeat: int) -> Report:
    """Memory in MB, CPU seconds of each mode, and what the model answers."""
    before = resident()
    model.warm_up()
    ready = resident()
    every = items()
    shown = [show(every[place * 17 % len(every)]) for place in range(candidates + 1)]
    query = Content(image=shown[0].image, text="like this, but in blue")
    seconds, orders = {}, {}
    for name, options in MODES.items():
        reranker = VisionReranker(model=model, layout="idefics3", caption=False, **options)
        taken = []
        for _ in range(repeat):
            started = time.process_time()
            orders[name] = reranker.rerank(query, shown[1:]).order
            taken.append(time.process_time() - started)
        seconds[name] = min(taken)
    asked = [Prompt(parts=(item.image, "Is it blue?")) for item in shown if item.image]
    return {
        "MB to load": ready - before,
        "MB at most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 - before,
        "seconds": seconds,
        "orders": orders,
        "scores": model.score(asked, WORDS),
    }


def resident() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1e3


def run(arguments: Sequence[str]) -> Report:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.onnx_vlm", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: Report = json.loads(done.stdout)
    return found


def render(reports: Mapping[str, Report]) -> str:
    """A table with a row for each engine, and how far apart their answers are."""
    lines = [
        f"| engine | MB to load | MB at most | {' | '.join(f'{m}, CPU s' for m in MODES)} |",
        f"| --- | {' | '.join(['---:'] * (2 + len(MODES)))} |",
    ]
    for engine, report in reports.items():
        seconds = [f"{report['seconds'][mode]:.2f}" for mode in MODES]
        sizes = [f"{report[name]:.0f}" for name in ("MB to load", "MB at most")]
        lines.append(f"| {engine} | {' | '.join([*sizes, *seconds])} |")
    one, other = reports.values()
    differences = [
        abs(a - b)
        for row, same in zip(one["scores"], other["scores"], strict=True)
        for a, b in zip(row, same, strict=True)
    ]
    equal = [mode for mode in MODES if one["orders"][mode] == other["orders"][mode]]
    lines += ["", f"Largest difference of a logit {max(differences):.1e}."]
    lines += [f"Equal orders: {', '.join(equal) or 'none'} of {', '.join(MODES)}."]
    return "\n".join(lines)


def compare(options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as temporary:
        checkpoint, exported = options.checkpoint, options.exported
        if checkpoint is None:
            checkpoint = Path(temporary, "checkpoint")
            write_model(checkpoint, options.size, dtype="float16")
        if exported is None:
            exported = Path(temporary, "exported")
            export(checkpoint, exported, half=True)
        most = str(options.candidates + 1)
        shared = ["--candidates", str(options.candidates), "--repeat", str(options.repeat)]
        shared += ["--threads", str(options.threads), "--variant", options.variant]
        shared += ["--images", most if options.single else "1"]
        return render(
            {
                engine: run(["--engine", engine, "--folder", str(folder), *shared])
                for engine, folder in (("torch", checkpoint), ("onnxruntime", exported))
            }
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="a folder of transformers")
    parser.add_argument("--exported", type=Path, help="the same model exported")
    parser.add_argument("--variant", default="fp16", help="suffix of the exported files")
    parser.add_argument("--size", default="small", choices=SIZES)
    parser.add_argument("--candidates", type=int, default=9)
    parser.add_argument("--single", action="store_true", help="show single images, no collage")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engine", choices=("torch", "onnxruntime"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--images", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine is None:
        print(compare(options))
        return
    model = build(options.engine, options.folder, options.variant, options.threads, options.images)
    report = measure(model, candidates=options.candidates, repeat=options.repeat)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
