"""A vision-language model behind an OpenAI-compatible chat server: vLLM, SGLang, llama.cpp, …"""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from mmsearch_app.inference import (
    REFUSING,
    Endpoint,
    ModelFailed,
    ServerError,
    last_moment,
    post_without_refused,
    renew_after_fork,
    require_at_least,
    turn,
)
from mmsearch_app.rerankers.models import find_vlm_preset
from mmsearch_app.rerankers.prompts import messages
from mmsearch_app.rerankers.vlm import Capabilities, Prompt

if TYPE_CHECKING:
    from mmsearch_app.rerankers.vlm import Form

_VERSION = "chat-2"
_LOGPROBS = {"logprobs": True, "top_logprobs": 20}
"""Log-probabilities of 20 tokens: the usual limit."""
_OPTIONAL = ("max_tokens", "temperature", "stream", "logprobs", "top_logprobs")
"""Fields, besides those of `extra`, without which a request still makes sense."""
PROBED = 64
"""Tokens of a probe."""
REFUSED = frozenset({400, 422, 501})
"""Statuses by which a server says that it does not know a field, among other things."""
_NAMES_FORM = re.compile(
    r"response.?format|json.?(?:schema|mode|object)|structured|guided|grammar|log.?prob|parameter",
    re.I,
)
"""What a server that answers with another status says if the form of the reply is the reason."""
FORGET_SECONDS = 600.0
"""How long a no counts: it may have been bad luck, and servers are updated."""

_T = TypeVar("_T")


class ChatVLM:
    """Asks by HTTP: one conversation of one user message per call, several calls at once.

    `base_url` ends before `/chat/completions`, as in "http://127.0.0.1:8000/v1". `preset`, a
    key of `VLM_PRESETS`, gives `model` and the limits of its images unless they are given. An
    image travels inside the request as a JPEG without metadata, scaled down to `max_pixels` and
    `max_bytes`; a prompt contains at most `max_images`. The server gets no address to fetch.

    Whether the server keeps a reply to a JSON schema (`structured`) and reports
    log-probabilities (`logprobs`) is tried out and remembered, a no for ten minutes; True or
    False skips the trial. Nothing relies on it: the caller checks every reply.

    A field that the server refuses by name, such as `temperature`, is renamed or left out from
    then on (`post_without_refused`).

    A prompt gets `timeout` seconds, all `attempts` included; no attempt goes on, or begins,
    after the caller's deadline. `extra` is added to every request; None in it removes a field:
    {"max_tokens": None, "max_completion_tokens": 500}. The server's weights cannot be seen from
    here: change `revision` when they change. The key (`api_key`, or the environment variable
    `api_key_env`) appears in no message, log or fingerprint and follows no redirect.

    Raises ValueError for options that cannot work.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str = "",
        preset: str = "",
        revision: str = "",
        api_key: str = "",
        api_key_env: str = "",
        max_images: int | None = None,
        max_pixels: int | None = None,
        max_bytes: int = 4 * 1024 * 1024,
        structured: bool | None = None,
        logprobs: bool | None = None,
        extra: Mapping[str, Any] | None = None,
        concurrency: int = 4,
        attempts: int = 3,
        timeout: float = 60.0,
    ) -> None:
        known = find_vlm_preset(preset)
        self.endpoint = Endpoint(
            base_url.rstrip("/") + "/chat/completions", api_key=api_key, api_key_env=api_key_env
        )
        self.model = model or known.repository
        self.revision = revision
        self.max_images = known.max_images if max_images is None else max_images
        self.max_pixels = known.max_pixels if max_pixels is None else max_pixels
        self.max_bytes = max_bytes
        self.extra = dict(extra or {})
        self.concurrency = concurrency
        self.attempts = attempts
        self.timeout = timeout
        self._abilities = Abilities(structured=structured, logprobs=logprobs)
        self._check()

    @property
    def fingerprint(self) -> str:
        """Model, revision and options; not the address: a server may move."""
        options = [self.extra, self.max_images, self.max_pixels, self.max_bytes]
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.model}@{self.revision}/{_VERSION}/{digest}"

    @property
    def capabilities(self) -> Capabilities:
        """Asks the server once for log-probabilities. Raises ModelFailed if it is unavailable."""
        return Capabilities(
            logits=self._abilities.has("logprobs", self._probe_logprobs),
            constrained=False,  # whatever a server promises
            max_images=self.max_images,
            max_pixels=self.max_pixels,
        )

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, form: Form | None = None
    ) -> list[str]:
        """Return the server's reply to each prompt. Raises ModelFailed."""
        if form is not None and not self._abilities.has("structured", self._probe_structured):
            form = None

        def generate(prompt: Prompt, end: float) -> str:
            return self._generate(prompt, max_tokens, form, end)

        return self._each(prompts, generate)

    def score(self, prompts: Sequence[Prompt], words: Sequence[str]) -> list[tuple[float, ...]]:
        """Log-probabilities of each word's first token, among the 20 likeliest; else -inf.

        Raises ModelFailed, and ValueError if two words are the same.
        """
        if len(set(words)) < len(words):
            msg = f"Words must differ: {list(words)}."
            raise ValueError(msg)

        def score(prompt: Prompt, end: float) -> tuple[float, ...]:
            return messages.read_scores(self._ask(prompt, 1, _LOGPROBS, end=end), words)

        return self._each(prompts, score)

    def warm_up(self) -> None:
        """Reach the server, find out what it can do, and have it answer once."""
        self._abilities.has("structured", self._probe_structured)
        self._abilities.has("logprobs", self._probe_logprobs)
        self.generate([Prompt(parts=("Say hello.",))], max_tokens=8)

    def _generate(self, prompt: Prompt, max_tokens: int, form: Form | None, end: float) -> str:
        if form is None or self._abilities.refused(form.name):
            return messages.read_text(self._ask(prompt, max_tokens, end=end))
        wish = {"response_format": messages.response_format(form.name, form.schema)}
        try:
            return messages.read_text(self._ask(prompt, max_tokens, wish, end=end))
        except ModelFailed as error:
            if not _refuses(error):
                raise
        answer = self._ask(prompt, max_tokens, end=end)
        self._abilities.refuse(form.name)  # the schema was refused, not the prompt
        return messages.read_text(answer)

    def _probe_structured(self) -> bool:
        """Whether a reply contains a word that only the schema names."""
        code = secrets.token_hex(4)
        schema = {
            "type": "object",
            "properties": {"answer": {"type": "string", "enum": [code]}},
            "required": ["answer"],
            "additionalProperties": False,
        }
        prompt = Prompt(parts=("Answer with a JSON object.",))
        wish = {"response_format": messages.response_format("probe", schema)}
        answer = self._ask(prompt, PROBED, wish, end=self._end(last_moment()))
        return code in messages.read_text(answer)

    def _probe_logprobs(self) -> bool:
        prompt = Prompt(parts=("Answer with yes or no.",))
        return messages.has_scores(self._ask(prompt, 1, _LOGPROBS, end=self._end(last_moment())))

    def _ask(
        self, prompt: Prompt, max_tokens: int, more: Mapping[str, Any] | None = None, *, end: float
    ) -> Any:
        """The server's answer, by `end`, a time of `time.monotonic`. Raises ModelFailed."""
        if len(prompt.images) > self.max_images:
            msg = f"{len(prompt.images)} images in a prompt; max_images is {self.max_images}."
            raise ModelFailed(msg)
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages.write(
                prompt, max_pixels=self.max_pixels, max_bytes=self.max_bytes
            ),
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": False,
            **(more or {}),
            **self.extra,
        }
        body = {name: value for name, value in body.items() if value is not None}
        if (seconds := end - time.monotonic()) <= 0:
            msg = "No time is left to ask the server."
            raise ModelFailed(msg)
        try:
            return post_without_refused(
                self.endpoint,
                body,
                optional=(*_OPTIONAL, *self.extra),
                seconds=seconds,
                attempts=self.attempts,
            )
        except ServerError as error:
            raise ModelFailed(str(error)) from error

    def _end(self, deadline: float) -> float:
        """Until when a prompt that begins now may take, a time of `time.monotonic`."""
        return min(time.monotonic() + self.timeout, deadline)

    def _each(self, prompts: Sequence[Prompt], ask: Callable[[Prompt, float], _T]) -> list[_T]:
        """Call `ask` with each prompt and its end; results in order. The first failure stops all.

        A prompt's `timeout` begins when a thread takes it up.
        """
        deadline = last_moment()  # threads do not inherit it

        def ask_now(prompt: Prompt) -> _T:
            return ask(prompt, self._end(deadline))

        if len(prompts) < 2:
            return [ask_now(prompt) for prompt in prompts]
        with ThreadPoolExecutor(min(self.concurrency, len(prompts))) as pool:
            begun = [pool.submit(ask_now, prompt) for prompt in prompts]
            try:
                return [future.result() for future in begun]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _check(self) -> None:
        if not self.model:
            msg = "Name the model as the server knows it (`model`), or a `preset`."
            raise ValueError(msg)
        names = ("max_images", "max_bytes", "concurrency", "attempts")
        require_at_least(1, **{name: getattr(self, name) for name in names})
        if self.timeout <= 0:
            msg = f"timeout must be above 0 seconds, not {self.timeout}."
            raise ValueError(msg)


class Abilities:
    """What a chat server can do, by name: given as True or False, or tried out once.

    Of several threads one tries; the others wait for it, each until its own deadline.
    """

    def __init__(self, **given: bool | None) -> None:
        self._able: set[str] = {name for name, able in given.items() if able}
        self._unable = {name: math.inf for name, able in given.items() if able is False}
        """Until when a no counts, a time of `time.monotonic`."""
        self._reset()
        renew_after_fork(self._reset)

    def refused(self, name: str) -> bool:
        """Whether a no is remembered."""
        return self._unable.get(name, -math.inf) > time.monotonic()

    def refuse(self, name: str) -> None:
        """Remember a no for some minutes."""
        self._unable[name] = time.monotonic() + FORGET_SECONDS

    def has(self, name: str, probe: Callable[[], bool]) -> bool:
        """Whether the server has the ability; calls `probe` if that is not known yet.

        Raises ModelFailed if the server is unavailable, which says nothing about the ability, or
        if another thread's probe takes too long.
        """
        with turn(self._lock, or_else="What the server can do was not found out in time."):
            return name in self._able or (not self.refused(name) and self._try(name, probe))

    def _try(self, name: str, probe: Callable[[], bool]) -> bool:
        try:
            able = probe()
        except ModelFailed as error:
            if _status_of(error) == 500:  # some servers fail over it, others just fail
                return False
            if not _refuses(error):
                raise
            able = False
        if able:
            self._able.add(name)
        else:
            self.refuse(name)
        return able

    def _reset(self) -> None:
        self._lock = threading.Lock()


def _refuses(error: ModelFailed) -> bool:
    """Whether the server may have refused the form of the reply, rather than the key or model."""
    status = _status_of(error)
    if status in REFUSED:
        return True
    said = getattr(error.__cause__, "said", "")
    return status in REFUSING and bool(_NAMES_FORM.search(said))


def _status_of(error: ModelFailed) -> int | None:
    """The HTTP status of the server's answer; None if it did not answer."""
    return getattr(error.__cause__, "status", None)
