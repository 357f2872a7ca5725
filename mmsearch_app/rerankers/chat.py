"""A vision-language model behind an OpenAI-compatible chat server: vLLM, SGLang, llama.cpp, …"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from mmsearch_app.embedders.endpoint import Endpoint, ServerError
from mmsearch_app.rerankers import messages
from mmsearch_app.rerankers.deadline import seconds_left
from mmsearch_app.rerankers.presets import PRESETS
from mmsearch_app.rerankers.vlm import Capabilities, ModelFailed, Prompt

if TYPE_CHECKING:
    from mmsearch_app.rerankers.vlm import Form

__all__ = ["ChatVLM"]

VERSION = "chat-1"
TOP = 20
"""Most tokens whose log-probabilities a server reports: the usual limit."""
REFUSED = frozenset({400, 422, 501})
"""Statuses by which a server says that it does not know a field."""
PROBED = 64
"""Tokens of a probe."""

T = TypeVar("T")


class ChatVLM:
    """Asks by HTTP: one conversation of one user message a call, several calls at once.

    `base_url` ends before `/chat/completions`, as in "http://127.0.0.1:8000/v1". `preset`, a
    name of `presets.PRESETS`, gives `model` and the limits of its pictures, where they are not
    given. A picture travels inside the request as a JPEG without metadata, made smaller to
    `max_pixels` and `max_bytes`; a prompt holds at most `max_images`. The server is given no
    address to fetch.

    Whether the server holds a reply to a JSON schema (`structured`) and reports
    log-probabilities (`logprobs`) is tried out once and remembered; True or False says so
    beforehand. Nothing relies on it: what comes back is checked by whoever asked.

    A call is given `timeout` seconds, all `attempts` included, and less where the one who
    waits has less time left. `extra` is added to every request, None in it takes a field away:
    {"max_tokens": None, "max_completion_tokens": 500}. The server's weights cannot be seen from
    here: change `revision` when they change. The key (`api_key`, or the environment variable
    `api_key_env`) appears in no message, log or fingerprint and follows no redirect.
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
        if preset and preset not in PRESETS:
            msg = f"preset must be one of {', '.join(sorted(PRESETS))}, not {preset!r}."
            raise ValueError(msg)
        known = PRESETS.get(preset)
        self.endpoint = Endpoint(
            base_url.rstrip("/") + "/chat/completions", api_key=api_key, api_key_env=api_key_env
        )
        self.model = model or (known.repository if known else "")
        self.revision = revision
        self.max_images = (known.max_images if known else 1) if max_images is None else max_images
        self.max_pixels = (
            (known.max_pixels if known else None) if max_pixels is None else max_pixels
        )
        self.max_bytes = max_bytes
        self.extra = dict(extra or {})
        self.concurrency = concurrency
        self.attempts = attempts
        self.timeout = timeout
        self._known = {"structured": structured, "logprobs": logprobs}
        self._refused: set[str] = set()
        self._probing = Lock()
        self._check()

    @cached_property
    def fingerprint(self) -> str:
        """The address does not count: a server may move."""
        options = [self.extra, self.max_images, self.max_pixels, self.max_bytes]
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.model}@{self.revision}/{VERSION}/{digest}"

    @property
    def capabilities(self) -> Capabilities:
        """Asks the server once for log-probabilities. Raises ModelFailed when it is away."""
        return Capabilities(
            logits=self._supports("logprobs", self._probe_logprobs),
            constrained=False,  # whatever a server promises
            max_images=self.max_images,
            max_pixels=self.max_pixels,
        )

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, form: Form | None = None
    ) -> list[str]:
        """One reply a prompt, as the server gave it. Raises ModelFailed."""
        wanted = form
        if form is not None and not self._supports("structured", self._probe_structured):
            wanted = None
        seconds = self._seconds()
        return self._each(prompts, lambda p: self._generate(p, max_tokens, wanted, seconds))

    def score(self, prompts: Sequence[Prompt], words: Sequence[str]) -> list[tuple[float, ...]]:
        """Log-probabilities of each word's first token, among the 20 likeliest; else -inf.

        Raises ModelFailed, and ValueError when two words are the same.
        """
        if len(set(words)) < len(words):
            msg = f"Words must differ: {list(words)}."
            raise ValueError(msg)
        seconds = self._seconds()
        asked = {"logprobs": True, "top_logprobs": TOP}
        return self._each(
            prompts,
            lambda p: messages.read_scores(self._ask(p, 1, asked, seconds=seconds), words),
        )

    def warm_up(self) -> None:
        """Reach the server, try out what it can do, and have it answer once."""
        self._supports("structured", self._probe_structured)
        self._supports("logprobs", self._probe_logprobs)
        self.generate([Prompt(parts=("Say hello.",))], max_tokens=8)

    def _generate(self, prompt: Prompt, max_tokens: int, form: Form | None, seconds: float) -> str:
        if form is not None and form.name not in self._refused:
            wish = {"response_format": messages.response_format(form.name, form.schema)}
            try:
                return messages.read_text(self._ask(prompt, max_tokens, wish, seconds=seconds))
            except ModelFailed as error:
                if _status(error) not in REFUSED:
                    raise
                self._refused.add(form.name)  # it knows schemas, but not this one
        return messages.read_text(self._ask(prompt, max_tokens, seconds=seconds))

    def _supports(self, name: str, probe: Callable[[], bool]) -> bool:
        """What is known of the server, or else tried out now and remembered."""
        with self._probing:
            known = self._known[name]
            if known is not None:
                return known
            try:
                known = probe()
            except ModelFailed as error:
                if _status(error) == 500:  # some servers fail over it, others just fail
                    return False
                if _status(error) not in REFUSED:
                    raise
                known = False
            self._known[name] = known
            return known

    def _probe_structured(self) -> bool:
        """Whether a reply holds a word that only the schema names."""
        code = secrets.token_hex(4)
        schema = messages.one_of([code])
        prompt = Prompt(parts=("Answer with a JSON object.",))
        wish = {"response_format": messages.response_format("probe", schema)}
        answer = self._ask(prompt, PROBED, wish, seconds=self._seconds())
        return code in messages.read_text(answer)

    def _probe_logprobs(self) -> bool:
        prompt = Prompt(parts=("Answer with yes or no.",))
        asked = {"logprobs": True, "top_logprobs": TOP}
        return messages.has_scores(self._ask(prompt, 1, asked, seconds=self._seconds()))

    def _ask(
        self,
        prompt: Prompt,
        max_tokens: int,
        more: Mapping[str, Any] | None = None,
        *,
        seconds: float,
    ) -> Any:
        if len(prompt.pictures) > self.max_images:
            msg = f"{len(prompt.pictures)} pictures in a prompt; max_images is {self.max_images}."
            raise ModelFailed(msg)
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages.write(
                prompt, max_pixels=self.max_pixels, max_bytes=self.max_bytes
            ),
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": False,
        }
        body |= {**(more or {}), **self.extra}
        body = {name: value for name, value in body.items() if value is not None}
        try:
            return self.endpoint.post(body, seconds=seconds, attempts=self.attempts)
        except ServerError as error:
            raise ModelFailed(str(error)) from error

    def _seconds(self) -> float:
        left = seconds_left()
        if left is not None and left <= 0:
            msg = "No time is left to ask the server."
            raise ModelFailed(msg)
        return self.timeout if left is None else min(self.timeout, left)

    def _each(self, prompts: Sequence[Prompt], ask: Callable[[Prompt], T]) -> list[T]:
        """What each prompt gets, in order; the first failure is raised and ends the rest."""
        if len(prompts) < 2:
            return [ask(prompt) for prompt in prompts]
        with ThreadPoolExecutor(min(self.concurrency, len(prompts))) as pool:
            begun = [pool.submit(ask, prompt) for prompt in prompts]
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
        for name in names:
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1, not {getattr(self, name)}."
                raise ValueError(msg)
        if self.timeout <= 0:
            msg = f"timeout must be above 0 seconds, not {self.timeout}."
            raise ValueError(msg)


def _status(error: ModelFailed) -> int | None:
    """What the server answered, where it answered."""
    return getattr(error.__cause__, "status", None)
