"""A model behind a server, over HTTP, whatever the server does."""

from __future__ import annotations

import base64
import logging
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch_app.embedders.base import Content, Embedder
from mmsearch_app.embedders.endpoint import ServerError
from mmsearch_app.embedders.openai import OpenAICompatibleEmbedder
from mmsearch_app.embedders.sentence_transformers import SentenceTransformersEmbedder
from tests.models import checkpoints
from tests.models.listener import listening
from tests.models.model_server import (
    Misdeed,
    Server,
    die,
    die_midway,
    drip,
    raw,
    rows,
    serving,
    sleep,
    status,
)

pytest.importorskip("httpx", reason="a model server is asked with httpx: mmsearch[server]")

KEY = "sk-3ub7K-not-to-be-seen"
PICTURE = Image.effect_mandelbrot((60, 44), (-2, -1.5, 1, 1.5), 20).convert("RGB")
MIXED = [
    Content(text="red shoe"),
    Content(image=PICTURE),
    Content(image=PICTURE.rotate(180), text="in blue"),
    Content(text="a large blue bag"),
    Content(image=PICTURE.rotate(90), text=" "),
]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> SentenceTransformersEmbedder:
    """The tiny CLIP behind the server."""
    folder = checkpoints.write_clip(tmp_path_factory.mktemp("served") / "clip")
    embedder = SentenceTransformersEmbedder(path=folder, dimension=16)
    embedder.warm_up()
    return embedder


@pytest.fixture
def server(model: SentenceTransformersEmbedder) -> Iterator[Server]:
    with serving(model) as served:
        yield served


def client(server: Server, **options: Any) -> OpenAICompatibleEmbedder:
    given: dict[str, Any] = {"model": "tiny-clip", "dimension": 16, "query_timeout": 5.0}
    return OpenAICompatibleEmbedder(base_url=server.base_url, **(given | options))


def ask(embedder: OpenAICompatibleEmbedder, text: str = "red shoe") -> Any:
    return embedder.embed_queries([Content(text=text)])[0]


def as_sent(image: Image.Image) -> Image.Image:
    """What a picture is after its journey as a JPEG."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=90, optimize=True)
    return Image.open(buffer)


def test_is_an_embedder(server: Server) -> None:
    assert isinstance(client(server), Embedder)


def test_vectors_are_those_of_the_model_behind_the_server(
    server: Server, model: SentenceTransformersEmbedder
) -> None:
    arrived = [Content(image=c.image and as_sent(c.image), text=c.text) for c in MIXED]
    found = client(server).embed_queries(MIXED)
    assert found.dtype == np.float32
    assert found.shape == (5, 16)
    np.testing.assert_allclose(found, model.embed_queries(arrived), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_a_mixed_batch_gives_each_row_what_it_gets_alone(server: Server) -> None:
    embedder = client(server)
    alone = np.concatenate([embedder.embed_documents([content]) for content in MIXED])
    np.testing.assert_allclose(embedder.embed_documents(MIXED), alone, atol=1e-5)


def test_a_call_is_one_conversation_with_the_picture_first(server: Server) -> None:
    client(server).embed_queries([Content(image=PICTURE, text="in blue")])
    (request,) = server.requests
    assert request["model"] == "tiny-clip"
    (message,) = request["messages"]
    picture, words = message["content"]
    assert message["role"] == "user"
    assert words == {"type": "text", "text": "in blue"}
    assert picture["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")


def test_instructions_and_an_empty_turn_frame_the_conversation(server: Server) -> None:
    embedder = client(server, query_instruction="Find.", end_turn=True, extra={"user": "shop"})
    ask(embedder)
    embedder.embed_documents([Content(text="red shoe")])
    query, document = server.requests
    assert [m["role"] for m in query["messages"]] == ["system", "user", "assistant"]
    assert query["messages"][0]["content"] == [{"type": "text", "text": "Find."}]
    assert query["continue_final_message"] is True
    assert query["user"] == "shop"
    assert [m["role"] for m in document["messages"]] == ["user", "assistant"]


def test_words_alone_can_be_sent_as_input(
    server: Server, model: SentenceTransformersEmbedder
) -> None:
    embedder = client(server, words="input", query_instruction="query ")
    found = ask(embedder)
    assert server.requests[0]["input"] == ["query red shoe"]
    assert "messages" not in server.requests[0]
    expected = model.embed_queries([Content(text="query red shoe")])[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_late_fusion_asks_twice_and_adds(server: Server) -> None:
    embedder = client(server, fusion="late", image_weight=0.3)
    picture, words, both = (
        embedder.embed_queries([content])[0]
        for content in (
            Content(image=PICTURE),
            Content(text="in blue"),
            Content(image=PICTURE, text="in blue"),
        )
    )
    expected = 0.3 * picture + 0.7 * words
    np.testing.assert_allclose(both, expected / np.linalg.norm(expected), atol=1e-6)
    assert len(server.requests) == 4


def test_documents_are_their_picture_alone_unless_told(server: Server) -> None:
    contents = [Content(image=PICTURE, text="a mug")]
    client(server).embed_documents(contents)
    client(server, documents="both").embed_documents(contents)
    parts = [[p["type"] for p in r["messages"][0]["content"]] for r in server.requests]
    assert parts == [["image_url"], ["image_url", "text"]]


def test_large_pictures_are_made_smaller_before_they_travel(server: Server) -> None:
    large = PICTURE.resize((900, 600))
    client(server, longest_side=90).embed_queries([Content(image=large)])
    uri = server.requests[0]["messages"][0]["content"][0]["image_url"]["url"]
    sent = Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert sent.size == (90, 60)


def test_nothing_in_nothing_out(server: Server) -> None:
    assert client(server).embed_documents([]).shape == (0, 16)
    assert not server.requests


def test_warming_up_asks_for_each_kind(server: Server) -> None:
    client(server).warm_up()
    assert len(server.requests) == 3


# Several calls at once


def test_calls_overlap_up_to_the_limit(server: Server) -> None:
    server.delay = 0.2
    client(server, concurrency=4).embed_documents([Content(text=str(n)) for n in range(12)])
    assert server.busiest == 4


def test_one_failure_ends_the_whole_batch(server: Server) -> None:
    server.script.append(status(400))
    with pytest.raises(ServerError, match="answered 400"):
        client(server, concurrency=1).embed_documents([Content(text=str(n)) for n in range(50)])
    assert len(server.requests) < 50


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # newer Pythons, of any threads
def test_a_forked_process_opens_its_own_connection(server: Server) -> None:
    embedder = client(server)
    ask(embedder)
    context = multiprocessing.get_context("fork")
    queue: Any = context.SimpleQueue()

    def child() -> None:
        queue.put(ask(embedder).tolist())

    process = context.Process(target=child)
    process.start()
    process.join(20)
    assert process.exitcode == 0
    np.testing.assert_allclose(queue.get(), ask(embedder), atol=1e-6)
    before, inside, after = server.ports
    assert before == after != inside


# Failures that pass


@pytest.mark.parametrize(
    "misdeed",
    [status(429), status(500), status(502), status(503), status(504), die, die_midway],
    ids=["429", "500", "502", "503", "504", "dies", "dies midway"],
)
def test_a_passing_failure_is_tried_again(server: Server, misdeed: Misdeed) -> None:
    server.script.append(misdeed)
    assert np.isfinite(ask(client(server))).all()
    assert len(server.requests) == 2


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_server_says_how_long_to_wait(server: Server, form: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    server.script.append(status(429, Retry_After={"seconds": "1", "date": date}[form]))
    begin = time.monotonic()
    ask(client(server))
    assert time.monotonic() - begin > 0.9


def test_a_wait_beyond_the_time_of_a_query_is_not_begun(server: Server) -> None:
    server.script.append(status(503, Retry_After="3600"))
    begin = time.monotonic()
    with pytest.raises(ServerError, match="answered 503"):
        ask(client(server))
    assert time.monotonic() - begin < 60


def test_attempts_end(server: Server) -> None:
    server.script.extend([status(503)] * 10)
    with pytest.raises(ServerError, match=r"answered 503: .*\(attempt 2\)"):
        ask(client(server, attempts=2))
    assert len(server.requests) == 2


@pytest.mark.parametrize("misdeed", [sleep(6), drip], ids=["silent", "drips"])
def test_a_slow_server_costs_no_more_than_the_time_of_a_query(
    server: Server, misdeed: Misdeed
) -> None:
    server.script.extend([misdeed] * 3)
    begin = time.monotonic()
    with pytest.raises(ServerError, match="in time"):
        ask(client(server, query_timeout=0.4))
    assert time.monotonic() - begin < 5


def test_documents_are_given_more_time_than_queries(server: Server) -> None:
    server.delay = 0.5
    embedder = client(server, query_timeout=0.2, attempts=1)
    assert embedder.embed_documents([Content(text="red")]).shape == (1, 16)
    with pytest.raises(ServerError, match="in time"):
        ask(embedder)


def test_a_server_that_is_not_there_is_named() -> None:
    with listening() as gone:
        address = gone.url
    embedder = OpenAICompatibleEmbedder(base_url=address, model="m", dimension=16)
    with pytest.raises(ServerError, match=f"{address}/embeddings cannot be reached: ConnectError"):
        ask(embedder)


# Answers that are wrong


@pytest.mark.parametrize(
    ("misdeed", "said"),
    [
        (rows([1.0] * 8), "vectors of 8 dimensions: set dimension=8"),
        (rows([1.0] * 15 + [float("nan")]), "zero or not finite"),
        (rows([1.0] * 15 + [float("inf")]), "zero or not finite"),
        (rows([0.0] * 16), "zero or not finite"),
        (rows(), "exactly one embedding"),
        (rows([1.0] * 16, [1.0] * 16), "exactly one embedding"),
        (raw(b'{"data": [{"embedding": [0.1, 0.2'), "something else than JSON"),
        (raw(b"<html>welcome</html>"), "something else than JSON"),
        (raw(b'{"data": [{"embedding": "AAAA"}]}'), "exactly one embedding"),
        (raw(b'{"data": [[1, 2]]}'), "exactly one embedding"),
        (raw(b'{"error": "no model"}'), "exactly one embedding"),
        (raw(b"[]"), "exactly one embedding"),
        (raw(b" " * (17 << 20)), "more than"),
        (status(400), "answered 400"),
        (status(401), "answered 401"),
        (status(404), "answered 404"),
    ],
)
def test_a_wrong_answer_is_an_error_at_once(server: Server, misdeed: Misdeed, said: str) -> None:
    server.script.append(misdeed)
    with pytest.raises(ServerError, match=said):
        ask(client(server))
    assert len(server.requests) == 1


@pytest.mark.parametrize("length", [1e-300, 1e300])
def test_vectors_of_any_length_become_unit_vectors(server: Server, length: float) -> None:
    server.script.append(rows([length] * 16))
    np.testing.assert_allclose(ask(client(server)), [0.25] * 16, atol=1e-6)


def test_a_redirect_is_not_followed(server: Server) -> None:
    with listening() as other:
        server.script.append(status(307, Location=f"{other.url}/v1/embeddings"))
        with pytest.raises(ServerError, match="answered 307, a redirect"):
            ask(client(server, api_key=KEY))
        assert other.connections == 0


# The key


def test_the_key_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_MODEL_KEY", KEY)
    ask(client(server, api_key=KEY))
    ask(client(server, api_key_env="SHOP_MODEL_KEY"))
    ask(client(server))
    assert server.keys == [f"Bearer {KEY}", f"Bearer {KEY}", None]


def test_the_key_is_in_no_message_log_or_fingerprint(
    server: Server, caplog: pytest.LogCaptureFixture
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
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_MODEL_KEY", raising=False)
    with pytest.raises(ServerError, match="variable SHOP_MODEL_KEY holds no key"):
        ask(client(server, api_key_env="SHOP_MODEL_KEY"))


def test_a_key_with_a_line_break_is_refused_without_being_shown(server: Server) -> None:
    with pytest.raises(ServerError, match="characters that no key has") as raised:
        ask(client(server, api_key=f"{KEY}\n"))
    assert KEY not in str(raised.value)


# Options


@pytest.mark.parametrize(
    "address", ["", "model:8000/v1", "ftp://model/v1", "http://u:secret@model/v1", "http://m/?a=1"]
)
def test_an_address_that_cannot_be_right_is_refused(address: str) -> None:
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
def test_an_option_that_cannot_be_right_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|not both"):
        OpenAICompatibleEmbedder(base_url="http://m/v1", model="m", dimension=16, **options)


def test_constructing_imports_and_opens_nothing() -> None:
    code = (
        "import sys\n"
        "from mmsearch_app.embedders.openai import OpenAICompatibleEmbedder\n"
        "e = OpenAICompatibleEmbedder(base_url='http://192.0.2.1/v1', model='m', dimension=8)\n"
        "assert e.fingerprint\n"
        "heavy = {'torch', 'httpx', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_its_library_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['httpx'] = None\n"
        "from mmsearch_app.embedders.base import Content\n"
        "from mmsearch_app.embedders.openai import OpenAICompatibleEmbedder\n"
        "e = OpenAICompatibleEmbedder(base_url='http://192.0.2.1/v1', model='m', dimension=8)\n"
        "try: e.embed_queries([Content(text='a')])\n"
        "except ImportError as error: assert \"'mmsearch[server]'\" in str(error), error\n"
        "else: raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_fingerprint_tells_models_and_options_apart_but_not_addresses() -> None:
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
    given = {"base_url": "http://m/v1", "model": "m", "dimension": 16}
    found = [OpenAICompatibleEmbedder(**(given | o)).fingerprint for o in options]
    assert len(set(found)) == len(options)
    moved = OpenAICompatibleEmbedder(**(given | {"base_url": "https://n/v1"}))
    assert moved.fingerprint == found[0]
