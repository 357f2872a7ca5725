"""A vision-language model behind an OpenAI-compatible chat server: vLLM, SGLang, llama.cpp, …"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from mmsearch_app.inference import (
    Endpoint,
    ModelFailed,
    ServerError,
    last_moment,
    require_at_least,
    require_one_of,
)
from mmsearch_app.rerankers.chat_abilities import REFUSED, Abilities, status_of
from mmsearch_app.rerankers.presets import VLM_PRESETS
from mmsearch_app.rerankers.prompts import messages
from mmsearch_app.rerankers.vlm import Capabilities, Prompt

if TYPE_CHECKING:
    from mmsearch_app.rerankers.vlm import Form

__all__ = ["ChatVLM"]

_VERSION = "chat-2"
TOP = 20
"""Most tokens whose log-probabilities a server reports: the usual limit."""
PROBED = 64
"""Tokens of a probe."""

_T = TypeVar("_T")


class ChatVLM:
    """Asks by HTTP: one conversation of one user message a call, several calls at once.

    `base_url` ends before `/chat/completions`, as in "http://127.0.0.1:8000/v1". `preset`, a
    name of `presets.PRESETS`, gives `model` and the limits of its pictures, where they are not
    given. A picture travels inside the request as a JPEG without metadata, made smaller to
    `max_pixels` and `max_bytes`; a prompt holds at most `max_images`. The server is given no
    address to fetch.

    Whether the server holds a reply to a JSON schema (`structured`) and reports
    log-probabilities (`logprobs`) is tried out and remembered, a no for ten minutes; True or
    False says so beforehand. Nothing relies on it: what comes back is checked by whoever asked.

    A prompt is given `timeout` seconds, all `attempts` included; none of a call goes on, or is
    begun, once the time of the one who waits is over. `extra` is added to every request, None
    in it takes a field away: {"max_tokens": None, "max_completion_tokens": 500}. The server's
    weights cannot be seen from here: change `revision` when they change. The key (`api_key`, or
    the environment variable `api_key_env`) appears in no message, log or fingerprint and follows
    no redirect.
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
        if preset:
            require_one_of("preset", preset, sorted(VLM_PRESETS))
        known = VLM_PRESETS.get(preset)
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
        self._abilities = Abilities(structured=structured, logprobs=logprobs)
        self._check()

    @cached_property
    def fingerprint(self) -> str:
        """The address does not count: a server may move."""
        options = [self.extra, self.max_images, self.max_pixels, self.max_bytes]
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.model}@{self.revision}/{_VERSION}/{digest}"

    @property
    def capabilities(self) -> Capabilities:
        """Asks the server once for log-probabilities. Raises ModelFailed when it is away."""
        return Capabilities(
            logits=self._abilities.has("logprobs", self._probe_logprobs),
            constrained=False,  # whatever a server promises
            max_images=self.max_images,
            max_pixels=self.max_pixels,
        )

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, form: Form | None = None
    ) -> list[str]:
        """One reply a prompt, as the server gave it. Raises ModelFailed."""
        wanted = form
        if form is not None and not self._abilities.has("structured", self._probe_structured):
            wanted = None
        return self._each(prompts, lambda p, end: self._generate(p, max_tokens, wanted, end))

    def score(self, prompts: Sequence[Prompt], words: Sequence[str]) -> list[tuple[float, ...]]:
        """Log-probabilities of each word's first token, among the 20 likeliest; else -inf.

        Raises ModelFailed, and ValueError when two words are the same.
        """
        if len(set(words)) < len(words):
            msg = f"Words must differ: {list(words)}."
            raise ValueError(msg)
        asked = {"logprobs": True, "top_logprobs": TOP}
        return self._each(
            prompts,
            lambda p, end: messages.read_scores(self._ask(p, 1, asked, end=end), words),
        )

    def warm_up(self) -> None:
        """Reach the server, try out what it can do, and have it answer once."""
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
            if status_of(error) not in REFUSED:
                raise
        answer = self._ask(prompt, max_tokens, end=end)
        self._abilities.refuse(form.name)  # it was the schema then, not the prompt
        return messages.read_text(answer)

    def _probe_structured(self) -> bool:
        """Whether a reply holds a word that only the schema names."""
        code = secrets.token_hex(4)
        schema = messages.alternatives([code])
        prompt = Prompt(parts=("Answer with a JSON object.",))
        wish = {"response_format": messages.response_format("probe", schema)}
        answer = self._ask(prompt, PROBED, wish, end=self._end(last_moment()))
        return code in messages.read_text(answer)

    def _probe_logprobs(self) -> bool:
        prompt = Prompt(parts=("Answer with yes or no.",))
        asked = {"logprobs": True, "top_logprobs": TOP}
        end = self._end(last_moment())
        return messages.has_scores(self._ask(prompt, 1, asked, end=end))

    def _ask(
        self,
        prompt: Prompt,
        max_tokens: int,
        more: Mapping[str, Any] | None = None,
        *,
        end: float,
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
        if (seconds := end - time.monotonic()) <= 0:
            msg = "No time is left to ask the server."
            raise ModelFailed(msg)
        try:
            return self.endpoint.post(body, seconds=seconds, attempts=self.attempts)
        except ServerError as error:
            raise ModelFailed(str(error)) from error

    def _end(self, deadline: float) -> float:
        """Of a prompt whose turn it is now, a time of `time.monotonic`."""
        return min(time.monotonic() + self.timeout, deadline)

    def _each(self, prompts: Sequence[Prompt], ask: Callable[[Prompt, float], _T]) -> list[_T]:
        """What each prompt gets by its end, in order; the first failure ends the rest."""
        deadline = last_moment()  # which the threads do not know
        if len(prompts) < 2:
            return [ask(prompt, self._end(deadline)) for prompt in prompts]
        with ThreadPoolExecutor(min(self.concurrency, len(prompts))) as pool:
            begun = [
                pool.submit(lambda p: ask(p, self._end(deadline)), prompt) for prompt in prompts
            ]
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
