"""A chat server with a scripted model, which can also lie, refuse, be slow or disconnect."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import Image

from mmsearch_app.rerankers.chat import ChatVLM
from mmsearch_app.rerankers.vlm import Prompt
from tests.model_server import Body, ModelServer, open_picture, serve

HELLO = Prompt(parts=("Hello.",))


@dataclass(kw_only=True)
class ChatServer(ModelServer):
    path: ClassVar[str] = "/v1/chat/completions"
    reply: Callable[[Body], Any]
    """Returns the content of the first choice."""
    structured: bool = True
    """Whether the answer to a probe of JSON schemas follows the schema."""
    scores: dict[str, float] | None = None
    """Log-probabilities of first tokens; None if the server does not report them."""

    @property
    def asked(self) -> list[Body]:
        """The requests that are not probes."""
        return [body for body in self.requests if not is_probe(body)]

    def answer(self, body: Body) -> Body:
        if is_schema_probe(body):
            schema = body["response_format"]["json_schema"]["schema"]
            code = schema["properties"]["answer"]["enum"][0]
            said: Any = json.dumps({"answer": code}) if self.structured else "Sure!"
        else:
            said = self.reply(body)
        choice: Body = {"index": 0, "message": {"role": "assistant", "content": said}}
        if self.scores is not None and body.get("logprobs"):
            top = [{"token": token, "logprob": score} for token, score in self.scores.items()]
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return {"object": "chat.completion", "choices": [choice]}


def chatting(reply: Callable[[Body], Any], **options: Any) -> AbstractContextManager[ChatServer]:
    return serve(ChatServer(reply=reply, **options))


def say(content: Any) -> Callable[[Body], Any]:
    return lambda body: content


def is_schema_probe(body: Body) -> bool:
    return bool(body.get("response_format", {}).get("json_schema", {}).get("name") == "probe")


def is_probe(body: Body) -> bool:
    return is_schema_probe(body) or (bool(body.get("logprobs")) and not pictures(body))


def pictures(body: Body) -> list[Image.Image]:
    """The decoded images of a request."""
    contents = [message["content"] for message in body["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [open_picture(part) for part in parts if part["type"] == "image_url"]


def words(body: Body) -> str:
    """All text of a request."""
    parts = [part for message in body["messages"] for part in message["content"]]
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def say_hello(model: ChatVLM) -> str:
    return model.generate([HELLO], max_tokens=8)[0]
