"""A chat server of a scripted model: honest, or lying, refusing, slow and dying when told."""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from threading import Lock, Thread
from typing import Any

from PIL import Image

from tests.models.model_server import Answer, Misdeed, Quiet

Body = dict[str, Any]


@dataclass
class ChatServer:
    """`script` holds what the next requests get instead of an answer; None is an answer."""

    reply: Callable[[Body], Any]
    """What the model says: the content of the first choice."""
    structured: bool = True
    """Whether a probe of JSON schemas is answered as the schema says."""
    scores: dict[str, float] | None = None
    """Log-probabilities of first tokens; None: this server knows of none."""
    base_url: str = ""
    delay: float = 0.0
    script: deque[Misdeed | None] = field(default_factory=deque)
    requests: list[Body] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0
    lock: Lock = field(default_factory=Lock)

    @property
    def asked(self) -> list[Body]:
        """The requests that were no probes."""
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


class ChatAnswer(Answer):
    served: ChatServer  # type: ignore[assignment]

    def do_POST(self) -> None:
        served = self.served
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with served.lock:
            served.requests.append(body)
            misdeed = served.script.popleft() if served.script else None
            served.busy += 1
            served.busiest = max(served.busiest, served.busy)
        try:
            time.sleep(served.delay)
            if misdeed:
                misdeed(self)
            elif self.path == "/v1/chat/completions":
                self.send_json(200, served.answer(body))
            else:
                self.send_json(404, {"error": {"message": f"no {self.path}"}})
        finally:
            with served.lock:
                served.busy -= 1


@contextmanager
def chatting(reply: Callable[[Body], Any], **options: Any) -> Iterator[ChatServer]:
    served = ChatServer(reply=reply, **options)
    http = Quiet(("127.0.0.1", 0), type("Bound", (ChatAnswer,), {"served": served}))
    http.daemon_threads = True
    http.block_on_close = False
    served.base_url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def say(content: Any) -> Callable[[Body], Any]:
    return lambda body: content


def is_schema_probe(body: Body) -> bool:
    return bool(body.get("response_format", {}).get("json_schema", {}).get("name") == "probe")


def is_probe(body: Body) -> bool:
    return is_schema_probe(body) or (bool(body.get("logprobs")) and not pictures(body))


def pictures(body: Body) -> list[Image.Image]:
    """The pictures of a request, decoded; all of them are JPEG inside the request."""
    found = []
    for message in body["messages"]:
        parts = message["content"] if isinstance(message["content"], list) else []
        for part in parts:
            if part["type"] == "image_url":
                head, _, data = part["image_url"]["url"].partition(",")
                assert head == "data:image/jpeg;base64", head
                found.append(Image.open(BytesIO(base64.b64decode(data, validate=True))))
    return found


def words(body: Body) -> str:
    """All words of a request."""
    parts = [part for message in body["messages"] for part in message["content"]]
    return "\n".join(part["text"] for part in parts if part["type"] == "text")
