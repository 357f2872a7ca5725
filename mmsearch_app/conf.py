"""The one setting, `MMSEARCH`: its keys, their defaults and their valid values."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal, TypedDict

from django.conf import Settings as DjangoSettings
from django.conf import UserSettingsHolder
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

__all__ = [
    "FOR_TESTS",
    "IN_MEMORY",
    "Part",
    "Settings",
    "get_settings",
    "is_replaced_for_tests",
    "is_under_test",
    "read_part",
]

_PARTS = ("EMBEDDER", "INDEX", "RERANKER")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A pluggable part as the setting names it; `backends` builds it."""

    BACKEND: str = ""
    """Dotted path of the class, or "" if a preset names it."""
    OPTIONS: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the class; with a preset, those that differ from it."""
    PRESET: str = ""
    """Name of an embedder preset, or ""."""


class ImageCaps(TypedDict):
    """Limits as keyword arguments of `images.open_image`."""

    max_bytes: int
    max_pixels: int
    max_decode_bytes: int
    max_wait: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every key of `MMSEARCH` with its default."""

    EMBEDDER: Part = field(default=Part(PRESET="starter"))
    INDEX: Part = field(default=Part(BACKEND="mmsearch_app.indexes.milvus.MilvusIndex"))
    RERANKER: Part | None = None

    LIMIT: int = 24
    """Products on one page of results."""
    MAX_LIMIT: int = 100
    """The largest page that a request may ask for."""
    MAX_OFFSET: int = 1000
    """The last position from which a page may start."""
    MIN_SCORE: float | None = None
    """If the cosine of the best hit is lower, the answer says that there is no good match; None:
    lower than what nonsense reaches, as measured for each kind of question."""
    NO_GOOD_MATCH: Literal["closest", "words", "picture", "popular", "nothing"] = "closest"
    """What is shown then: the "closest" hits all the same; those of the "words" or of the
    "picture" alone; what the sources' `get_popular` returns ("popular"); or "nothing"."""
    WITHOUT_WEIGHT: float = 0.5
    """How strongly unwanted words push products away."""
    READ_NEGATIONS: bool = True
    """Whether words such as "without stripes" or "not red" act as unwanted words."""
    RERANK_LIMIT: int = 9
    """How many of the first hits are reranked."""
    RERANK_WEIGHT: float = 0.5
    """The reranker's share when its order is fused with that of the index, 0 to 1."""
    RERANK_FUSION: str = "ranks"
    """What is fused: "ranks", or "scores" (the cosines and, if the reranker gives any, its
    grades)."""
    RERANK_SECONDS: int = 600
    """How long after a search its late rerank may be requested; the query image and the
    reranker's order are kept as long."""
    RERANK_TIMEOUT: float = 15.0
    """Seconds that a visitor waits for the reranker; then the order of the index is shown."""
    RERANK_CONCURRENCY: int = 2
    """Calls of the reranker that run at the same time in one process."""
    RERANK_QUEUE: int = 8
    """How many more calls may wait for their turn; a late rerank beyond that gets a 503."""
    RERANK_PAUSE: float = 30.0
    """Seconds for which the reranker is not called after three failures in a row."""

    MAX_TEXT_LENGTH: int = 500
    """Most characters of the words in a query."""
    MAX_IMAGE_BYTES: int = 8 * 1024 * 1024
    """Most bytes of an uploaded image."""
    MAX_IMAGE_PIXELS: int = 40_000_000
    """Most pixels (width times height) of any image, read from its header before decoding."""
    MAX_DECODE_BYTES: int = 320 * 1024 * 1024
    """Most memory in which one process decodes images, all threads together. It also limits the
    formats that are decoded at full size: by default a WebP to 25 megapixels, an AVIF to 27."""
    MAX_SOURCE_BYTES: int = 64 * 1024 * 1024
    """Most bytes of an image in the shop's own storage."""
    MAX_CONCURRENT_SEARCHES: int = 8
    """Searches that run at the same time in one process; further ones get a 503."""
    MAX_WAIT_SECONDS: float = 5.0
    """Most seconds that a visitor waits for a turn; who would wait longer gets a 503 at once."""
    QUERY_BATCH: int = 16
    """Most queries of several visitors that one process embeds together."""
    QUERY_SECONDS: float = 30.0
    """Seconds that a query waits for its turn at the embedder; then it gets a 503."""
    INDEX_SECONDS: float = 5.0
    """Most seconds that a search waits for the index; then it gets a 503, and while the index
    hangs, so do those after it, at once."""
    THROTTLE_RATE: str | None = "60/min"
    """Searches per visitor, on the page and through the API together, in the notation of Django
    REST framework; None for no limit."""
    NUM_PROXIES: int | None = None
    """Your own proxies in front of the shop, each of which appends an address to
    `X-Forwarded-For`: how a visitor is told from others. None: as `REST_FRAMEWORK` says, or else
    the whole header is believed as it was sent."""
    REQUEST_START_HEADER: str = ""
    """Header in which your proxy writes when a request came in, such as "X-Request-Start"; what it
    waited before it reached the shop then counts for MAX_WAIT_SECONDS."""

    BATCH_SIZE: int = 32
    """Images that are embedded and written together."""
    LEASE_SECONDS: int = 120
    """Seconds until another worker may take the batch of a worker that died. A worker renews its
    lease as long as it gets on."""
    MODEL_SECONDS: float = 900.0
    """Seconds that one call of the embedder may take in a worker, including the download of a
    model; then its batch is given back, and `mmsearch_worker` ends."""
    STORAGE_SECONDS: float = 60.0
    """Seconds that the storage may take for one image in a worker; then the storage counts as
    not answering."""
    MAX_ATTEMPTS: int = 8
    """Attempts at an image before it is given up; `mmsearch_reconcile` tries it again a day
    later."""
    RETRY_SECONDS: int = 10
    """Seconds to wait after the first failure; doubled after each further one, up to an hour. Each
    wait is up to a quarter longer or shorter, so that not everything comes back at once."""
    POLL_SECONDS: float = 2.0
    """Seconds after which an idle worker looks for work."""
    WORKER_THREAD: bool = False
    """Whether each process that serves the shop also indexes, in a thread."""
    TEST: Mapping[str, Any] = field(default_factory=dict)
    """Keys with other values under a test runner, as in `DATABASES`. Unless they are named here,
    an index in memory, an embedder without weights, no reranker and no thread are used there."""
    WARM_UP: bool = True
    """Whether each process that serves the shop loads the models as it starts, in a thread; until
    they are loaded, searches get a 503. Otherwise the first search waits for them."""

    @property
    def upload_caps(self) -> ImageCaps:
        """Limits for a visitor's image, as keyword arguments of `images.open_image`."""
        return self._caps(self.MAX_IMAGE_BYTES, self.MAX_WAIT_SECONDS)

    @property
    def stored_caps(self) -> ImageCaps:
        """Limits for an image in the shop's own storage, which waits for its turn."""
        return self._caps(self.MAX_SOURCE_BYTES, None)

    def _caps(self, max_bytes: int, max_wait: float | None) -> ImageCaps:
        return {
            "max_bytes": max_bytes,
            "max_pixels": self.MAX_IMAGE_PIXELS,
            "max_decode_bytes": self.MAX_DECODE_BYTES,
            "max_wait": max_wait,
        }


IN_MEMORY: dict[str, Any] = {
    "EMBEDDER": {"BACKEND": "mmsearch_app.testing.TestingEmbedder"},
    "INDEX": {"BACKEND": "mmsearch_app.indexes.memory.MemoryIndex"},
}
"""A value for the setting MMSEARCH that needs no weights, no file and no socket."""
FOR_TESTS: dict[str, Any] = {
    **IN_MEMORY,
    "INDEX": {"BACKEND": "mmsearch_app.testing.TestingIndex"},
    "RERANKER": None,
    "WORKER_THREAD": False,
}
"""What replaces keys of MMSEARCH under a test runner."""


def get_settings() -> Settings:
    """Return the project's settings. Raises ImproperlyConfigured if a value is invalid.

    Under a test runner, what works on the shop's own index is replaced: see `Settings.TEST`.
    """
    return _load(for_tests=is_replaced_for_tests())


def is_replaced_for_tests() -> bool:
    """Return whether a test runner is at work and no test has set MMSEARCH itself."""
    return is_under_test() and not _is_overridden("MMSEARCH")


def is_under_test() -> bool:
    """Return whether `setup_test_environment` was called, as every runner does for Django."""
    utils = sys.modules.get("django.test.utils")
    return hasattr(getattr(utils, "_TestState", None), "saved_data")


def _is_overridden(name: str) -> bool:
    """Return whether `override_settings` or its like has set or deleted the setting."""
    lazy: Any = django_settings
    layer, layers = lazy._wrapped, []
    while isinstance(layer, UserSettingsHolder):
        layers.append(layer)
        layer = layer.default_settings
    if not isinstance(layer, DjangoSettings):
        layers = layers[:-1]  # the values given to settings.configure()
    return any(name in vars(layer) or name in layer._deleted for layer in layers)


@cache
def _load(*, for_tests: bool) -> Settings:
    given = getattr(django_settings, "MMSEARCH", {})
    settings = _read("MMSEARCH", given)
    if not for_tests:
        return settings
    # Whoever names an index in memory has settings for tests already.
    kept = IN_MEMORY["INDEX"]["BACKEND"] == settings.INDEX.BACKEND
    replaced = {"WORKER_THREAD": False} if kept else FOR_TESTS
    return _read("MMSEARCH['TEST']", {**given, **replaced, **settings.TEST})


def _read(name: str, given: object) -> Settings:
    if not isinstance(given, Mapping):
        msg = f"{name} must be a dict, not {type(given).__name__}."
        raise ImproperlyConfigured(msg)
    known = {f.name for f in fields(Settings)}
    if unknown := sorted(map(str, set(given) - set(known))):
        msg = f"{name} has unknown keys {unknown}; the known keys are {sorted(known)}."
        raise ImproperlyConfigured(msg)
    defaults = Settings()
    checked: dict[str, Any] = {
        key: read_part(key, value)
        if key in _PARTS
        else _check_value(key, value, default=getattr(defaults, key))
        for key, value in given.items()
    }
    settings = Settings(**checked)
    if settings.LIMIT > settings.MAX_LIMIT:
        msg = f"MMSEARCH['LIMIT'] = {settings.LIMIT} is above MAX_LIMIT = {settings.MAX_LIMIT}."
        raise ImproperlyConfigured(msg)
    return settings


def _forget(*, setting: str, **_: object) -> None:
    if setting == "MMSEARCH":
        _load.cache_clear()


setting_changed.connect(_forget, dispatch_uid="mmsearch_app.conf")


def read_part(key: str, value: object) -> Part | None:
    """Read the value of `EMBEDDER`, `INDEX` or `RERANKER`: a dict with BACKEND and OPTIONS.

    An embedder may also be a preset's name, or a dict with PRESET and OPTIONS; a reranker may be
    None. Nothing is imported. Raises ImproperlyConfigured.
    """
    if value is None and key == "RERANKER":
        return None
    if key == "EMBEDDER" and isinstance(value, str):
        return Part(PRESET=value)
    kinds = [{"BACKEND"}, {"PRESET"}] if key == "EMBEDDER" else [{"BACKEND"}]
    if not isinstance(value, Mapping) or set(value) - {"OPTIONS"} not in kinds:
        raise _malformed_part(key, value)
    options = value.get("OPTIONS") or {}
    if not isinstance(options, Mapping):
        raise _malformed_part(key, value)
    return Part(**{**value, "OPTIONS": dict(options)})


def _malformed_part(key: str, value: object) -> ImproperlyConfigured:
    """Return an error that names the given keys but no value, which may be a password."""
    preset = "a preset's name or " if key == "EMBEDDER" else ""
    given = type(value).__name__
    if isinstance(value, Mapping):
        given = f"a dict with {', '.join(sorted(map(str, value))) or 'nothing'}"
    return ImproperlyConfigured(
        f"MMSEARCH[{key!r}] must be {preset}a dict with BACKEND (a dotted path) and, if needed, "
        f"OPTIONS (a dict), not {given}."
    )


_BOUNDS = {
    "MAX_OFFSET": (0, math.inf),
    "RETRY_SECONDS": (0, math.inf),
    "RERANK_WEIGHT": (0, 1),
    "RERANK_QUEUE": (0, math.inf),
}
"""Least and most of numbers. By default whole numbers are at least 1, others at least 0."""
_OPTIONAL: dict[str, float] = {"NUM_PROXIES": 0, "MIN_SCORE": 0.0}
"""Numbers that may be None, each with one of its type."""
_CHOICES = {
    "RERANK_FUSION": ("ranks", "scores"),
    "NO_GOOD_MATCH": ("closest", "words", "picture", "popular", "nothing"),
}
_RATE = re.compile(r"[1-9][0-9]*/(s|m|h|d)[a-z]*")


def _check_value(key: str, value: object, *, default: object) -> object:
    """Return the value. Raises ImproperlyConfigured, which says what would be valid."""
    if key == "THROTTLE_RATE":
        valid = value is None or (isinstance(value, str) and bool(_RATE.fullmatch(value)))
    elif key in _CHOICES:
        valid = value in _CHOICES[key]
    elif key in _OPTIONAL:
        like = _OPTIONAL[key]
        valid = value is None or (_is_number(value, like=like) and value >= 0)  # type: ignore[operator]
    elif isinstance(default, str):
        valid = isinstance(value, str)
    elif isinstance(default, Mapping):
        valid = isinstance(value, Mapping) and "TEST" not in value
    elif isinstance(default, bool):
        valid = isinstance(value, bool)
    else:
        valid = _is_number(value, like=default)
        least, most = _BOUNDS.get(key, (0 if isinstance(default, float) else 1, math.inf))
        if valid and not least <= value <= most:  # type: ignore[operator]
            right = f"at least {least}" if math.isinf(most) else f"from {least} to {most}"
            msg = f"MMSEARCH[{key!r}] = {value!r} must be {right}."
            raise ImproperlyConfigured(msg)
    if not valid:
        msg = f"MMSEARCH[{key!r}] = {value!r} must be {_describe(key, default)}."
        raise ImproperlyConfigured(msg)
    return value


def _describe(key: str, default: object) -> str:
    if key == "THROTTLE_RATE":
        return f"a rate such as {default!r}, or None"
    if key in _OPTIONAL:
        kind = "a number" if isinstance(_OPTIONAL[key], float) else "a whole number"
        return f"{kind}, at least 0, or None"
    if key in _CHOICES:
        return " or ".join(map(repr, _CHOICES[key]))
    if isinstance(default, Mapping):
        return "a dict with other keys of MMSEARCH"
    kinds: dict[type, str] = {
        bool: "True or False",
        str: "a string",
        int: "a whole number",
        float: "a number",
    }
    return f"{kinds[type(default)]}; its default is {default!r}"


def _is_number(value: object, *, like: object) -> bool:
    return isinstance(value, int | type(like)) and not isinstance(value, bool)
