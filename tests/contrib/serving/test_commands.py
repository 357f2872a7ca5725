"""The commands that load a model and serve it."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from mmsearch_app.management.commands import mmsearch_serve
from mmsearch_app.testing import IN_MEMORY
from tests.embedders import kit
from tests.waiting import until

for library in ("starlette", "uvicorn"):
    pytest.importorskip(library, reason=f"the server needs {library}: mmsearch[serve]")

ROOT = Path(__file__).resolve().parents[3]
KEY = "a-long-random-word"


def served_by_command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    run = (
        "import sys; from django.core.management import execute_from_command_line as e; e(sys.argv)"
    )
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", run, "mmsearch_serve", *arguments],
        env={**os.environ, **settings, **environment},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_command_serves_and_prints_the_settings_to_use() -> None:
    port = free_port()
    backend, options = "mmsearch_app.testing.TestingEmbedder", '{"fingerprint": "mine"}'
    process = served_by_command(
        backend, "--options", options, "--port", str(port), MMSEARCH_SERVE_KEY=KEY
    )
    try:
        until(lambda: is_open(port))
        process.terminate()
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert "TestingEmbedder is loaded: " in said
    setting = said.partition('MMSEARCH["EMBEDDER"] =\n')[2]
    part = eval(setting)  # noqa: S307 - what an operator copies must be Python
    assert part["BACKEND"].endswith("OpenAICompatibleEmbedder")
    assert part["OPTIONS"]["base_url"] == f"http://127.0.0.1:{port}/v1"
    assert part["OPTIONS"]["model"].startswith("TestingEmbedder@")
    assert part["OPTIONS"]["dimension"] == 256
    assert part["OPTIONS"]["api_key_env"] == "MMSEARCH_SERVE_KEY"
    assert KEY not in said


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_public_server_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMSEARCH_SERVE_KEY", raising=False)
    with pytest.raises(CommandError, match="set MMSEARCH_SERVE_KEY to a long random token"):
        call_command("mmsearch_serve", "--host", "192.0.2.1", stdout=io.StringIO())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_local_server_needs_no_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMSEARCH_SERVE_KEY", raising=False)
    assert mmsearch_serve._read_key("MMSEARCH_SERVE_KEY", host) == ""


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("bge-vl", "there is no preset 'bge-vl'"),
        ("shop.Nothing", "cannot be imported"),
        ("magiclens-base", "needs the option 'path'"),
        ("bge-vl-base", "is not on this machine"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_not_served(
    model: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    options = '{"local_files_only": true}' if model == "bge-vl-base" else "{}"
    with pytest.raises(CommandError, match=said):
        call_command("mmsearch_serve", model, "--options", options, stdout=io.StringIO())


def test_an_embedder_behind_a_server_is_not_served() -> None:
    part = {
        "BACKEND": "mmsearch_app.embedders.openai.OpenAICompatibleEmbedder",
        "OPTIONS": {"base_url": "http://127.0.0.1:1/v1", "model": "x", "dimension": 2},
    }
    setting, said = {**IN_MEMORY, "EMBEDDER": part}, "name a model to serve"
    with override_settings(MMSEARCH=setting), pytest.raises(CommandError, match=said):
        call_command("mmsearch_serve", stdout=io.StringIO())


def test_the_model_is_loaded_before_the_server_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def listen(application: Any, **_: Any) -> None:
        (route, *_) = application.routes
        embedder = route.endpoint.__self__.service.batcher.embedder
        loaded.append(embedder._network is not None)

    monkeypatch.setattr("uvicorn.run", listen)
    backend, options = "mmsearch_app.embedders.bge_vl.BGEVL", f'{{"path": "{kit.CLIP}"}}'
    call_command("mmsearch_serve", backend, "--options", options, stdout=io.StringIO())
    assert loaded == [True]


def test_warming_up_reports_time_and_memory() -> None:
    output = io.StringIO()
    part = {"BACKEND": "mmsearch_app.embedders.bge_vl.BGEVL", "OPTIONS": {"path": kit.CLIP}}
    with override_settings(MMSEARCH={**IN_MEMORY, "EMBEDDER": part}):
        call_command("mmsearch_warm_up", stdout=output)
    assert output.getvalue().startswith("embedder  BGEVL: ")
    assert " s" in output.getvalue()


def test_warming_up_fails_with_the_reason(tmp_path: Path) -> None:
    part = {"BACKEND": "mmsearch_app.embedders.magiclens.MagicLens", "OPTIONS": {"path": tmp_path}}
    setting, said = {**IN_MEMORY, "EMBEDDER": part}, "MagicLens cannot be loaded: MissingWeights: "
    with override_settings(MMSEARCH=setting), pytest.raises(CommandError, match=said):
        call_command("mmsearch_warm_up", stdout=io.StringIO())
