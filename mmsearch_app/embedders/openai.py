"""A model behind an OpenAI-compatible server such as vLLM: `/v1/embeddings` with images."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsearch_app.images import encode_jpeg
from mmsearch_app.inference import (
    Content,
    Endpoint,
    ServerError,
    defuse,
    post_without_refused,
    require_at_least,
    require_one_of,
    require_share,
)

if TYPE_CHECKING:
    from mmsearch_app.embedders.runtime import Documents

_PREPROCESSING = "openai-1"
QUALITY = 90
_OPTIONAL = ("encoding_format", "dimensions", "user")
"""Fields that do not change what a vector means: left out if the server refuses them. Without
"dimensions" the vectors may be longer, which is an error that says so."""

_Role: TypeAlias = Literal["query", "document"]


class OpenAICompatibleEmbedder:
    """Embeds by HTTP: one request per image, text or pair of both, several at the same time.

    `base_url` ends before `/embeddings`, as in "http://127.0.0.1:8000/v1". A request is a chat of
    one user message: the image, as JPEG of at most `longest_side` pixels, then the text. The
    server fetches nothing. A text alone is sent as such a chat too (`words="messages"`), or as
    "input" (`words="input"`), which every server supports. With `fusion="late"`, for servers of
    CLIP and SigLIP, an image with a text becomes two requests and the normalised sum of
    `image_weight` times the image's and `1 - image_weight` times the text's unit vector.

    `query_instruction` and `document_instruction` become a system message; in "input", they
    precede the text. `end_turn` ends the chat with an empty turn of the assistant, which
    Qwen3-VL-Embedding needs on vLLM. `extra` is added to every request, such as
    {"dimensions": 512}.

    Change `revision` when the server's weights change, which cannot be seen from here. `timeout`
    (documents) and `query_timeout` limit the seconds of one request, all `attempts` included.
    `api_key_env` names an environment variable; no message, log or fingerprint contains the key.

    Raises ServerError if the server fails, or sends another dimension, numbers that are not
    finite, or an answer that makes no sense.
    """

    batches_itself = True

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        dimension: int,
        revision: str = "",
        api_key: str = "",
        api_key_env: str = "",
        words: Literal["messages", "input"] = "messages",
        fusion: Literal["server", "late"] = "server",
        image_weight: float = 0.5,
        query_instruction: str = "",
        document_instruction: str = "",
        end_turn: bool = False,
        extra: Mapping[str, Any] | None = None,
        documents: Documents = "picture",
        longest_side: int = 1024,
        concurrency: int = 8,
        attempts: int = 3,
        timeout: float = 60.0,
        query_timeout: float = 10.0,
    ) -> None:
        require_one_of("words", words, ("messages", "input"))
        require_one_of("fusion", fusion, ("server", "late"))
        require_one_of("documents", documents, ("picture", "both"))
        require_at_least(1, concurrency=concurrency, attempts=attempts)
        require_share(image_weight=image_weight)
        self.endpoint = Endpoint(
            base_url.rstrip("/") + "/embeddings", api_key=api_key, api_key_env=api_key_env
        )
        self.model = model
        self.dimension = dimension
        self.revision = revision
        self.words = words
        self.fusion = fusion
        self.image_weight = image_weight
        self.instructions: dict[_Role, str] = {
            "query": query_instruction,
            "document": document_instruction,
        }
        self.end_turn = end_turn
        self.extra = dict(extra or {})
        self.documents = documents
        self.longest_side = longest_side
        self.concurrency = concurrency
        self.attempts = attempts
        self.timeouts: dict[_Role, float] = {"query": query_timeout, "document": timeout}

    @property
    def fingerprint(self) -> str:
        """Model, options and dimension, without the address: a server may move."""
        options: list[Any] = [self.words, self.fusion, self.image_weight, self.instructions]
        options += [self.end_turn, self.extra, self.longest_side]
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
        origin = f"{self.model}@{self.revision}"
        return f"{origin}/{_PREPROCESSING}/{digest}/{self.documents}/{self.dimension}"

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        shown = contents
        if self.documents == "picture":
            shown = [Content(image=c.image) if c.image is not None else c for c in contents]
        return self._embed(shown, role="document")

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        return self._embed(contents, role="query")

    def warm_up(self) -> None:
        """Embed one content of each kind, with the longer timeout of documents."""
        image = Image.new("RGB", (64, 64), "grey")
        kinds = [Content(text="a"), Content(image=image), Content(image=image, text="a")]
        self._embed(kinds, role="document")

    def _embed(self, contents: Sequence[Content], *, role: _Role) -> NDArray[np.float32]:
        vectors = np.empty((len(contents), self.dimension), dtype=np.float32)
        if len(contents) == 1:
            vectors[0] = self._embed_one(contents[0], role)
        elif contents:
            with ThreadPoolExecutor(min(self.concurrency, len(contents))) as pool:
                begun = [pool.submit(self._embed_one, content, role) for content in contents]
                try:
                    for place, future in enumerate(begun):
                        vectors[place] = future.result()
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)  # the answers are of no use
                    raise
        return vectors

    def _embed_one(self, content: Content, role: _Role) -> NDArray[np.float32]:
        text = content.text if content.text and content.text.strip() else None
        if content.image is None:
            text = text or ""
        if content.image is None or text is None or self.fusion == "server":
            return _unit(self._ask(content.image, text, role))
        seen = _unit(self._ask(content.image, None, role))
        said = _unit(self._ask(None, text, role))
        return _unit(self.image_weight * seen + (1 - self.image_weight) * said)

    def _ask(self, image: Image.Image | None, text: str | None, role: _Role) -> NDArray[np.float64]:
        if text is not None:
            text = defuse(text)
        body = {"model": self.model, "encoding_format": "float", **self.extra}
        if image is None and self.words == "input":
            body["input"] = [f"{self.instructions[role]}{text}"]
        else:
            body["messages"] = self._messages(image, text, role)
            if self.end_turn:
                body |= {"continue_final_message": True, "add_special_tokens": True}
        answer = post_without_refused(
            self.endpoint,
            body,
            optional=_OPTIONAL,
            seconds=self.timeouts[role],
            attempts=self.attempts,
        )
        return self._read(answer)

    def _messages(
        self, image: Image.Image | None, text: str | None, role: _Role
    ) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        if image is not None:
            parts.append(self._show(image))
        if text is not None:
            parts.append({"type": "text", "text": text})
        messages = [_message("user", parts)]
        if instruction := self.instructions[role]:
            messages.insert(0, _message("system", [{"type": "text", "text": instruction}]))
        if self.end_turn:
            messages.append(_message("assistant", [{"type": "text", "text": ""}]))
        return messages

    def _show(self, image: Image.Image) -> dict[str, Any]:
        jpeg = encode_jpeg(image, longest_side=self.longest_side, quality=QUALITY)
        uri = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        return {"type": "image_url", "image_url": {"url": uri}}

    def _read(self, answer: Any) -> NDArray[np.float64]:
        """Return the answer's only vector. Raises ServerError if it is not as promised."""
        try:
            (row,) = answer["data"]
            vector = np.asarray(row["embedding"], dtype=np.float64)
        except (TypeError, KeyError, ValueError, OverflowError):
            msg = f"{self.endpoint.url} did not answer with exactly one embedding."
            raise ServerError(msg) from None
        if vector.shape != (self.dimension,):
            msg = (
                f"{self.endpoint.url} answered with vectors of {vector.size} dimensions: "
                f"set dimension={vector.size} or have the server shorten them."
            )
            raise ServerError(msg)
        if not np.isfinite(vector).all() or not vector.any():
            msg = f"{self.endpoint.url} answered with a vector that is zero or not finite."
            raise ServerError(msg)
        return vector


def _message(role: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": role, "content": parts}


def _unit(vector: NDArray[Any]) -> NDArray[np.float32]:
    scaled = vector / np.abs(vector).max()  # so that squares neither underflow nor overflow
    unit: NDArray[np.float32] = (scaled / np.linalg.norm(scaled)).astype(np.float32)
    return unit
