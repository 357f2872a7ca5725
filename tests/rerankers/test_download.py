"""Weights from the hub: resumed downloads, and errors that name missing packages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.inference.weights import MissingWeights
from mmsearch_app.rerankers.local import LocalVLM
from tests import fresh
from tests.embedders.checkpoints import train_tokenizer
from tests.rerankers.families import QWEN_MARKS

COMMIT = "c" * 40


class Hub:
    """Replaces the hub: a partly filled cache in the real layout, and the requests made."""

    def __init__(self, cache: Path, model: Path) -> None:
        self.model = model
        self.asked: list[bool] = []
        folder = cache / "models--nobody--tiny"
        self.snapshot = folder / "snapshots" / COMMIT
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(COMMIT, encoding="utf-8")
        shutil.copytree(model, self.snapshot, ignore=shutil.ignore_patterns("*.safetensors"))

    def download(self, *_: Any, local_files_only: bool, **__: Any) -> str:
        self.asked.append(not local_files_only)
        if not local_files_only:
            shutil.copytree(self.model, self.snapshot, dirs_exist_ok=True)
        return str(self.snapshot)


@pytest.fixture
def hub(tmp_path: Path, checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(tmp_path, checkpoint("idefics3"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.download)
    return hub


def test_an_interrupted_download_is_resumed(hub: Hub) -> None:
    LocalVLM(model="nobody/tiny", dtype="float32", device="cpu").warm_up()
    assert hub.asked == [False, True]


def test_a_complete_download_is_used_without_asking_the_hub(hub: Hub) -> None:
    shutil.copytree(hub.model, hub.snapshot, dirs_exist_ok=True)
    LocalVLM(model="nobody/tiny", dtype="float32", device="cpu").warm_up()
    assert hub.asked == [False]


def test_an_interrupted_download_is_reported_if_downloads_are_not_allowed(hub: Hub) -> None:
    model = LocalVLM(model="nobody/tiny", local_files_only=True, device="cpu")
    with pytest.raises(MissingWeights, match="nobody/tiny at revision main is not on this"):
        model.warm_up()
    assert hub.asked == [False]


def test_a_processor_that_needs_another_package_names_it(tmp_path: Path) -> None:
    train_tokenizer("<s>", "</s>", limit=99, more=QWEN_MARKS).save_pretrained(tmp_path)
    pictures = {"image_processor_type": "Qwen2VLImageProcessor"}
    files = {
        "config.json": {"model_type": "qwen3_vl"},
        "preprocessor_config.json": pictures | {"processor_class": "Qwen3VLProcessor"},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    code = (
        "import sys\n"
        "sys.modules['torchvision'] = None\n"
        "from mmsearch_app.rerankers.local import LocalVLM\n"
        "from mmsearch_app.inference import ModelFailed\n"
        f"try: LocalVLM(path={str(tmp_path)!r}, device='cpu').warm_up()\n"
        "except ModelFailed as error: print(error)"
    )
    said = fresh.run(code)
    assert said.strip().endswith("its processor needs torchvision: pip install torchvision")


def test_the_real_phi_3_vision_collage_is_split_into_sixteen_crops(
    checkpoint: Callable[[str], Path],
) -> None:
    from mmsearch_app.rerankers.llvm import VisionReranker
    from tests.rerankers import kit

    model = kit.load("phi3-vision", checkpoint("phi3-vision"), processing={"num_crops": 16})
    reranker = VisionReranker(preset="phi3-vision", model=model, reason=False)
    model.warm_up()
    assert model._model is not None
    seen: list[tuple[int, ...]] = []

    def note(_: Any, __: Any, given: dict[str, Any]) -> None:
        if given.get("pixel_values") is not None:
            seen.append(tuple(given["pixel_values"].shape))

    model._model.network.register_forward_pre_hook(note, with_kwargs=True)
    ranking = reranker.rerank(kit.QUERIES["both"], kit.products(9))

    assert seen == [(1, 17, 3, 336, 336)]
    assert sorted(ranking.order) == list(range(9))
    assert ranking.repairs == 0
