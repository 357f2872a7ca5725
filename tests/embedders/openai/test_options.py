"""The options, of which the key is never shown."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mmsearch_app.embedders.openai import OpenAICompatibleEmbedder
from mmsearch_app.inference.endpoint import ServerError
from tests import fresh
from tests.embedders.openai.embedding_server import KEY, EmbeddingServer, ask, client
from tests.model_server import status

pytest.importorskip("httpx", reason="a model server is asked with httpx: mmsearch[server]")


# The key


def test_the_key_is_sent(server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_MODEL_KEY", KEY)
    ask(client(server, api_key=KEY))
    ask(client(server, api_key_env="SHOP_MODEL_KEY"))
    ask(client(server))
    assert server.keys == [f"Bearer {KEY}", f"Bearer {KEY}", None]


def test_the_key_is_in_no_message_log_or_fingerprint(
    server: EmbeddingServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    embedder = client(server, api_key=KEY, attempts=1)
    server.script.extend([status(401), status(503)])
    for _ in range(2):
        with pytest.raises(ServerError, match=r"went wrong for Bearer \*\*\*") as raised:
            ask(embedder)
        assert KEY not in str(raised.value)
    shown = [repr(embedder), str(vars(embedder)), embedder.fingerprint, caplog.text]
    assert KEY not in "".join(shown)
    assert "127.0.0.1" in caplog.text


def test_a_key_that_is_missing_from_the_environment_is_named(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_MODEL_KEY", raising=False)
    with pytest.raises(ServerError, match="variable SHOP_MODEL_KEY is empty or not set"):
        ask(client(server, api_key_env="SHOP_MODEL_KEY"))


def test_a_key_with_a_line_break_is_refused_without_being_shown(server: EmbeddingServer) -> None:
    with pytest.raises(ServerError, match="characters that no key has") as raised:
        ask(client(server, api_key=f"{KEY}\n"))
    assert KEY not in str(raised.value)


# Options


@pytest.mark.parametrize(
    "address", ["", "model:8000/v1", "ftp://model/v1", "http://u:secret@model/v1", "http://m/?a=1"]
)
def test_an_invalid_base_url_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="server's address") as raised:
        OpenAICompatibleEmbedder(base_url=address, model="m", dimension=16)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"words": "prompt"},
        {"fusion": "early"},
        {"documents": "title"},
        {"image_weight": 2},
        {"concurrency": 0},
        {"attempts": 0},
        {"api_key": "a", "api_key_env": "B"},
    ],
)
def test_an_invalid_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|not both"):
        OpenAICompatibleEmbedder(base_url="http://m/v1", model="m", dimension=16, **options)


def test_constructing_imports_and_opens_nothing() -> None:
    code = (
        "from mmsearch_app.embedders.openai import OpenAICompatibleEmbedder\n"
        "e = OpenAICompatibleEmbedder(base_url='http://192.0.2.1/v1', model='m', dimension=8)\n"
        "assert e.fingerprint"
    )
    assert not fresh.imports(code, "torch", "httpx", "transformers")


def test_without_its_library_it_says_what_to_install() -> None:
    code = (
        "from mmsearch_app.embedders.base import Content\n"
        "from mmsearch_app.embedders.openai import OpenAICompatibleEmbedder\n"
        "e = OpenAICompatibleEmbedder(base_url='http://192.0.2.1/v1', model='m', dimension=8)\n"
        "e.embed_queries([Content(text='a')])"
    )
    assert "'mmsearch[server]'" in fresh.error_without("httpx", code)


def test_a_fingerprint_depends_on_model_and_options_but_not_on_the_address() -> None:
    options: list[dict[str, Any]] = [
        {},
        {"model": "other"},
        {"revision": "2"},
        {"words": "input"},
        {"fusion": "late"},
        {"image_weight": 0.4},
        {"query_instruction": "Find."},
        {"document_instruction": "Find."},
        {"end_turn": True},
        {"extra": {"dimensions": 16}},
        {"longest_side": 512},
        {"documents": "both"},
    ]
    given: dict[str, Any] = {"base_url": "http://m/v1", "model": "m", "dimension": 16}
    found = [OpenAICompatibleEmbedder(**(given | o)).fingerprint for o in options]
    assert len(set(found)) == len(options)
    moved = OpenAICompatibleEmbedder(**(given | {"base_url": "https://n/v1"}))
    assert moved.fingerprint == found[0]
