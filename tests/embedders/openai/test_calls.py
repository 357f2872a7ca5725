"""A model behind a server: the HTTP requests, and the vectors returned."""

from __future__ import annotations

import base64
import multiprocessing
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch_app.embedders.base import Embedder
from mmsearch_app.embedders.sentence_transformers.embedder import SentenceTransformersEmbedder
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.endpoint import ServerError
from tests.embedders.openai.embedding_server import EmbeddingServer, ask, client
from tests.model_server import status
from tests.pictures import PICTURE, as_sent

pytest.importorskip("httpx", reason="a model server is asked with httpx: mmsearch[server]")


MIXED = [
    Content(text="red shoe"),
    Content(image=PICTURE),
    Content(image=PICTURE.rotate(180), text="in blue"),
    Content(text="a large blue bag"),
    Content(image=PICTURE.rotate(90), text=" "),
]


def test_is_an_embedder(server: EmbeddingServer) -> None:
    assert isinstance(client(server), Embedder)


def test_vectors_are_those_of_the_model_behind_the_server(
    server: EmbeddingServer, model: SentenceTransformersEmbedder
) -> None:
    arrived = [Content(image=c.image and as_sent(c.image), text=c.text) for c in MIXED]
    found = client(server).embed_queries(MIXED)
    assert found.dtype == np.float32
    assert found.shape == (5, 16)
    np.testing.assert_allclose(found, model.embed_queries(arrived), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_a_mixed_batch_gives_each_row_what_it_gets_alone(server: EmbeddingServer) -> None:
    embedder = client(server)
    alone = np.concatenate([embedder.embed_documents([content]) for content in MIXED])
    np.testing.assert_allclose(embedder.embed_documents(MIXED), alone, atol=1e-5)


def test_a_call_is_one_conversation_with_the_image_first(server: EmbeddingServer) -> None:
    client(server).embed_queries([Content(image=PICTURE, text="in blue")])
    (request,) = server.requests
    assert request["model"] == "tiny-clip"
    (message,) = request["messages"]
    picture, words = message["content"]
    assert message["role"] == "user"
    assert words == {"type": "text", "text": "in blue"}
    assert picture["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")


def test_the_conversation_has_instructions_first_and_an_empty_turn_last(
    server: EmbeddingServer,
) -> None:
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
    server: EmbeddingServer, model: SentenceTransformersEmbedder
) -> None:
    embedder = client(server, words="input", query_instruction="query ")
    found = ask(embedder)
    assert server.requests[0]["input"] == ["query red shoe"]
    assert "messages" not in server.requests[0]
    expected = model.embed_queries([Content(text="query red shoe")])[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_late_fusion_asks_twice_and_adds(server: EmbeddingServer) -> None:
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


def test_documents_are_embedded_by_their_image_alone_by_default(server: EmbeddingServer) -> None:
    contents = [Content(image=PICTURE, text="a mug")]
    client(server).embed_documents(contents)
    client(server, documents="both").embed_documents(contents)
    parts = [[p["type"] for p in r["messages"][0]["content"]] for r in server.requests]
    assert parts == [["image_url"], ["image_url", "text"]]


def test_large_images_are_shrunk_before_they_are_sent(server: EmbeddingServer) -> None:
    large = PICTURE.resize((900, 600))
    client(server, longest_side=90).embed_queries([Content(image=large)])
    uri = server.requests[0]["messages"][0]["content"][0]["image_url"]["url"]
    sent = Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert sent.size == (90, 60)


def test_no_contents_give_no_vectors(server: EmbeddingServer) -> None:
    assert client(server).embed_documents([]).shape == (0, 16)
    assert not server.requests


def test_warming_up_embeds_each_kind_of_content(server: EmbeddingServer) -> None:
    client(server).warm_up()
    assert len(server.requests) == 3


# Several calls at once


def test_calls_overlap_up_to_the_limit(server: EmbeddingServer) -> None:
    server.crowd, server.delay = 4, 0.05
    client(server, concurrency=4).embed_documents([Content(text=str(n)) for n in range(12)])
    assert server.busiest == 4


def test_one_failure_ends_the_whole_batch(server: EmbeddingServer) -> None:
    server.script.append(status(400))
    with pytest.raises(ServerError, match="answered 400"):
        client(server, concurrency=1).embed_documents([Content(text=str(n)) for n in range(50)])
    assert len(server.requests) < 50


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # newer Pythons warn of any thread
def test_a_forked_process_opens_its_own_connection(server: EmbeddingServer) -> None:
    embedder = client(server)
    ask(embedder)
    context = multiprocessing.get_context("fork")
    queue: Any = context.SimpleQueue()

    def child() -> None:
        queue.put(ask(embedder).tolist())

    process = context.Process(target=child)
    process.start()
    process.join(120)
    assert process.exitcode == 0
    np.testing.assert_allclose(queue.get(), ask(embedder), atol=1e-6)
    before, inside, after = server.ports
    assert before == after != inside
