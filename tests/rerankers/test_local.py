"""Models in this process: loading, one call at a time, invalid options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.inference.content import ModelFailed
from mmsearch_app.inference.weights import MissingWeights
from mmsearch_app.rerankers.local import LocalVLM
from mmsearch_app.rerankers.vlm import Prompt, VisionLanguageModel
from tests import fresh
from tests.embedders.kit import run_threads
from tests.rerankers.kit import product


def test_it_is_a_vision_language_model(load: Callable[..., Any]) -> None:
    assert isinstance(load("idefics3"), VisionLanguageModel)


def test_importing_and_constructing_loads_no_torch() -> None:
    code = (
        "from mmsearch_app.rerankers.llvm import VisionReranker\n"
        "assert VisionReranker(preset='phi3-vision').fingerprint"
    )
    assert not fresh.imports(code, "torch", "transformers", "pymilvus")


def test_several_threads_get_the_result_of_one(checkpoint: Callable[[str], Path]) -> None:
    from tests.rerankers import kit

    model = kit.load("idefics3", checkpoint("idefics3"))
    prompts = [Prompt(parts=(product(n).image, f"bag {n}")) for n in range(4)]  # type: ignore[arg-type]
    found: dict[int, Any] = {}

    def ask(place: int) -> None:
        found[place] = model.score([prompts[place]], ["yes", "no"])

    run_threads(ask, range(4))

    assert found == {place: model.score([prompts[place]], ["yes", "no"]) for place in range(4)}


def test_the_next_call_retries_a_failed_load(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    model = LocalVLM(path=tmp_path / "model", dtype="float32", device="cpu")
    with pytest.raises(MissingWeights, match=r"has no config\.json"):
        model.warm_up()
    (tmp_path / "model").symlink_to(checkpoint("idefics3"))

    model.warm_up()


def test_a_search_downloads_nothing() -> None:
    model = LocalVLM(model="nobody/nothing")

    with pytest.raises(MissingWeights, match="is not on this machine"):
        model.score([Prompt(parts=("a",))], ["yes", "no"])


def test_a_model_without_a_chat_template_is_refused(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    for file in checkpoint("idefics3").iterdir():
        if "chat_template" not in file.name:
            (tmp_path / file.name).write_bytes(file.read_bytes())

    with pytest.raises(ModelFailed, match="has no chat template"):
        LocalVLM(path=tmp_path, device="cpu").warm_up()


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    config = {"model_type": "mine", "auto_map": {"AutoModelForImageTextToText": "code.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "code.py").write_text(f"open({str(ran)!r}, 'w')\n", encoding="utf-8")

    with pytest.raises(ModelFailed):
        LocalVLM(path=tmp_path, device="cpu").warm_up()

    assert not ran.exists()


def test_the_fingerprint_depends_on_the_content_not_on_the_path(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.symlink_to(checkpoint("idefics3"))

    first = LocalVLM(path=checkpoint("idefics3")).fingerprint

    assert LocalVLM(path=copy).fingerprint == first
    assert LocalVLM(path=copy, temperature=1.0).fingerprint != first
    assert LocalVLM(path=checkpoint("llava")).fingerprint != first


@pytest.mark.parametrize(
    "option",
    [{"max_images": 2}, {"attention": "eager"}, {"dtype": "float32"}, {"processing": {"a": 1}}],
)
def test_every_option_that_changes_a_reply_changes_the_fingerprint(option: dict[str, Any]) -> None:
    assert LocalVLM(model="a/b", **option).fingerprint != LocalVLM(model="a/b").fingerprint


def test_a_dtype_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16, float16, not"):
        LocalVLM(model="a/b", dtype="fp16")  # type: ignore[arg-type]


def test_words_with_the_same_first_token_cannot_be_scored(load: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="cannot tell the words"):
        load("idefics3").score([Prompt(parts=("a",))], ["yes", "yes"])


@pytest.mark.parametrize(
    "options", [{}, {"model": "a", "path": "b"}, {"model": "a", "batch_size": 0}]
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Give either `model`|must be at least"):
        LocalVLM(**options)
