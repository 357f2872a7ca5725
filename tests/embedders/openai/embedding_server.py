"""A server that serves a real embedder at `/v1/embeddings` as vLLM does, and its client."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

from mmsearch_app.embedders.openai import OpenAICompatibleEmbedder
from mmsearch_app.embedders.runtime import HubEmbedder
from mmsearch_app.inference.content import Content
from tests.model_server import Body, Misdeed, ModelServer, open_picture, serve

KEY = "sk-3ub7K-not-to-be-seen"


@dataclass(kw_only=True)
class EmbeddingServer(ModelServer):
    path: ClassVar[str] = "/v1/embeddings"
    model: HubEmbedder

    def answer(self, body: Body) -> Body:
        if "input" in body:
            contents = [Content(text=text) for text in body["input"]]
        else:
            contents = [read_conversation(body["messages"])]
        vectors = self.model.embed_queries(contents)
        data = [
            {"object": "embedding", "index": index, "embedding": vector.tolist()}
            for index, vector in enumerate(vectors)
        ]
        return {"object": "list", "data": data}


def read_conversation(messages: list[dict[str, Any]]) -> Content:
    """Read the one user message: an image as a data URI, a text, or both in this order."""
    (parts,) = [message["content"] for message in messages if message["role"] == "user"]
    image, text = None, None
    for part in parts:
        if part["type"] == "text":
            text = part["text"]
            continue
        assert text is None, "the image must come first"
        image = open_picture(part)
    return Content(image=image, text=text)


def serving(model: HubEmbedder) -> AbstractContextManager[EmbeddingServer]:
    return serve(EmbeddingServer(model=model))


def rows(*vectors: list[float]) -> Misdeed:
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return lambda answer: answer.send_json(200, {"data": data})


def client(server: EmbeddingServer, **options: Any) -> OpenAICompatibleEmbedder:
    given: dict[str, Any] = {"model": "tiny-clip", "dimension": 16, "query_timeout": 5.0}
    return OpenAICompatibleEmbedder(base_url=server.base_url, **(given | options))


def ask(embedder: OpenAICompatibleEmbedder, text: str = "red shoe") -> Any:
    return embedder.embed_queries([Content(text=text)])[0]
