"""A real chat server, `transformers serve`, with a real (tiny, random) vision-language model."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from mmsearch_app.inference.content import Content, ModelFailed
from mmsearch_app.rerankers.chat import ChatVLM
from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.vlm import Prompt
from tests.embedders.checkpoints import write_idefics3

COLOURS = ("red", "green", "blue", "yellow", "black", "white", "grey", "pink", "brown")
QUERY = Content(image=Image.new("RGB", (64, 48), "red"), text="like this, but blue")
PROGRAM = Path(sys.executable).with_name("transformers")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The server's address and the model's name."""
    for name in ("fastapi", "uvicorn", "openai", "accelerate"):
        pytest.importorskip(name, reason=f"transformers serve needs {name}")
    folder = tmp_path_factory.mktemp("serve")
    model = str(write_idefics3(folder / "idefics3"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = folder / "cache"
    home.mkdir()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    command = [str(PROGRAM), "serve", model, "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--device", "cpu"], env=environment, stdout=out, stderr=out
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1", model
    finally:
        process.terminate()
        process.wait(120)


def wait_until_healthy(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 600
    while time.monotonic() < until and process.poll() is None:
        try:
            httpx.get(address, timeout=10).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"transformers serve did not start: {log.read_text()[-500:]}")


@pytest.fixture
def model(served: tuple[str, str]) -> ChatVLM:
    base_url, name = served
    return ChatVLM(base_url=base_url, model=name, timeout=300.0)


def candidates(count: int) -> list[Content]:
    colours = (COLOURS * 3)[:count]
    return [Content(image=Image.new("RGB", (64, 64), c), text=f"{c} mug") for c in colours]


def test_it_answers_a_prompt_with_an_image(model: ChatVLM) -> None:
    red = Image.new("RGB", (64, 64), "red")
    (reply,) = model.generate([Prompt(parts=(red, "What is this?"))], max_tokens=12)
    assert reply
    assert "<image>" not in reply


def test_ignored_features_are_detected(model: ChatVLM) -> None:
    assert model.capabilities.logits is False
    VisionReranker(model=model).rerank(QUERY, candidates(3))
    assert all(model._abilities.refused(name) for name in ("structured", "logprobs"))


@pytest.mark.parametrize("mode", ["grades", "listwise"])
@pytest.mark.parametrize("count", [2, 5, 9, 12, 20])
def test_the_order_is_complete_whatever_the_model_says(
    model: ChatVLM, mode: str, count: int
) -> None:
    found = VisionReranker(model=model, mode=mode).rerank(QUERY, candidates(count))
    assert sorted(found.order) == list(range(count))
    assert found.repairs > 0  # random weights follow no format


@pytest.mark.parametrize("mode", ["pairs", "letters"])
def test_modes_that_need_logits_name_the_alternatives(model: ChatVLM, mode: str) -> None:
    with pytest.raises(ModelFailed, match="mode 'grades'"):
        VisionReranker(model=model, mode=mode).rerank(QUERY, candidates(3))


def test_a_deadline_stops_a_long_reply(model: ChatVLM) -> None:
    slow = ChatVLM(
        base_url=model.endpoint.url.removesuffix("/chat/completions"),
        model=model.model,
        timeout=0.4,
    )
    with pytest.raises(ModelFailed, match="in time"):
        slow.generate([Prompt(parts=("Tell a long story.",))], max_tokens=4000)


def test_an_unknown_model_is_a_failure(served: tuple[str, str]) -> None:
    stranger: Any = ChatVLM(base_url=served[0], model="nobody/nothing", attempts=1, timeout=120.0)
    with pytest.raises(ModelFailed):
        stranger.generate([Prompt(parts=("Hello.",))], max_tokens=4)
