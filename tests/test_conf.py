"""The setting MMSEARCH: what is refused with which message, and the effect of a change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from mmsearch_app import InvalidQuery, backends, conf, search
from mmsearch_app.backends import get_embedder, get_index, get_reranker
from mmsearch_app.conf import get_settings
from mmsearch_app.indexes.memory import MemoryIndex
from mmsearch_app.indexing import drain
from mmsearch_app.testing import IN_MEMORY, TestingEmbedder, reset
from tests.shop import Sell, picture


def refusal(**keys: Any) -> str:
    with override_settings(MMSEARCH={**IN_MEMORY, **keys}):
        with pytest.raises(ImproperlyConfigured) as caught:
            get_settings()
        return str(caught.value)


def test_without_the_setting_every_key_has_its_default(settings: Any) -> None:
    del settings.MMSEARCH
    reset()
    found = get_settings()
    assert found == conf.Settings()
    assert found.EMBEDDER.PRESET == "starter"
    assert found.RERANKER is None


def test_an_unknown_key_is_refused_with_the_right_ones() -> None:
    message = refusal(LIMITS=3)
    assert "unknown keys ['LIMITS']" in message
    assert "'LEASE_SECONDS', 'LIMIT', 'MAX_" in message


@pytest.mark.parametrize("value", [[], "starter", 3])
def test_a_setting_that_is_not_a_dict_is_refused(value: Any) -> None:
    with override_settings(MMSEARCH=value), pytest.raises(ImproperlyConfigured, match="be a dict"):
        get_settings()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("LIMIT", "24"),
        ("LIMIT", 2.5),
        ("LIMIT", True),
        ("LIMIT", None),
        ("MIN_SCORE", "0.5"),
        ("MIN_SCORE", True),
        ("THROTTLE_RATE", 60),
        ("THROTTLE_RATE", "often"),
        ("THROTTLE_RATE", "60/fortnight"),
        ("BATCH_SIZE", [32]),
    ],
)
def test_a_value_of_another_type_is_refused(key: str, value: Any) -> None:
    message = refusal(**{key: value})
    assert f"MMSEARCH['{key}'] = {value!r} must be a " in message


@pytest.mark.parametrize(
    ("key", "value", "right"),
    [
        ("LIMIT", "24", "a whole number; its default is 24."),
        ("MIN_SCORE", "0.5", "a number, at least 0, or None."),
        ("WORKER_THREAD", 1, "True or False; its default is False."),
        ("THROTTLE_RATE", "often", "a rate such as '60/min', or None."),
        ("RERANK_FUSION", "votes", "'ranks' or 'scores'."),
        ("LIMIT", 0, "at least 1."),
        ("MIN_SCORE", -0.1, "a number, at least 0, or None."),
        ("RERANK_WEIGHT", 1.1, "from 0 to 1."),
    ],
)
def test_an_error_says_what_would_be_right(key: str, value: Any, right: str) -> None:
    assert refusal(**{key: value}) == f"MMSEARCH['{key}'] = {value!r} must be {right}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("LIMIT", 0),
        ("BATCH_SIZE", 0),
        ("MAX_ATTEMPTS", -1),
        ("LEASE_SECONDS", 0),
        ("MIN_SCORE", -0.1),
        ("MIN_SCORE", float("nan")),
        ("RERANK_WEIGHT", 1.1),
        ("POLL_SECONDS", -1.0),
    ],
)
def test_a_number_out_of_range_is_refused(key: str, value: Any) -> None:
    assert f"MMSEARCH['{key}'] = {value!r} must be " in refusal(**{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("RETRY_SECONDS", 0),
        ("MAX_OFFSET", 0),
        ("MIN_SCORE", 1),
        ("MIN_SCORE", None),
        ("THROTTLE_RATE", None),
    ],
)
def test_a_number_at_the_end_of_its_range_is_accepted(key: str, value: Any) -> None:
    with override_settings(MMSEARCH={**IN_MEMORY, key: value}):
        assert getattr(get_settings(), key) == value


def test_a_page_size_above_the_maximum_is_refused() -> None:
    assert "LIMIT'] = 200 is above MAX_LIMIT = 100" in refusal(LIMIT=200)


@pytest.mark.parametrize(
    "part",
    [
        None,
        {},
        {"OPTIONS": {}},
        {"BACKEND": "a.b", "OPTION": {}},
        {"BACKEND": "a.b", "OPTIONS": "abc"},
        {"BACKEND": "a.b", "OPTIONS": [1]},
    ],
)
def test_a_part_is_a_dict_with_a_backend_and_options(part: Any) -> None:
    message = refusal(EMBEDDER=part)
    assert "MMSEARCH['EMBEDDER'] must be a preset's name or a dict with BACKEND" in message


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("shop.embed.Clip", "No module named 'shop'"),
        ("mmsearch_app.testing.Nope", 'does not define a "Nope"'),
        ("nodots", "doesn't look like a module path"),
        (5, "attribute"),
    ],
)
def test_a_path_that_leads_nowhere_is_named_with_its_key(backend: Any, reason: str) -> None:
    setting = {**IN_MEMORY, "EMBEDDER": {"BACKEND": backend}}
    with override_settings(MMSEARCH=setting), pytest.raises(ImproperlyConfigured) as caught:
        get_embedder()
    assert f"MMSEARCH['EMBEDDER']['BACKEND'] = {backend!r} cannot be imported" in str(caught.value)
    assert reason in str(caught.value)


def test_wrong_options_are_named_with_their_key() -> None:
    part = {"BACKEND": "mmsearch_app.indexes.memory.MemoryIndex", "OPTIONS": {"url": "x"}}
    setting, words = {**IN_MEMORY, "INDEX": part}, r"\['INDEX'\]\['OPTIONS'\] do not fit"
    with override_settings(MMSEARCH=setting), pytest.raises(ImproperlyConfigured, match=words):
        get_index()


def test_options_reach_the_part() -> None:
    part = {"BACKEND": "mmsearch_app.testing.TestingEmbedder", "OPTIONS": {"fingerprint": "mine"}}
    with override_settings(MMSEARCH={**IN_MEMORY, "EMBEDDER": part}):
        assert get_embedder().fingerprint == "mine"


def test_a_part_is_built_once() -> None:
    assert get_embedder() is get_embedder()
    assert get_index() is get_index()
    assert isinstance(get_index(), MemoryIndex)
    assert isinstance(get_embedder(), TestingEmbedder)


def test_get_reranker_returns_none_without_a_reranker() -> None:
    assert get_reranker() is None
    assert get_reranker() is None


def test_changing_the_setting_rebuilds_all_parts() -> None:
    before = get_index()
    with override_settings(MMSEARCH={**IN_MEMORY, "LIMIT": 5}):
        assert get_settings().LIMIT == 5
        assert get_index() is not before
    assert get_settings().LIMIT == 24


def test_changing_another_setting_rebuilds_nothing() -> None:
    before = get_index()
    with override_settings(DEBUG=True):
        assert get_index() is before


def test_changing_the_setting_closes_the_index() -> None:
    class Closing(MemoryIndex):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    index = backends._built["INDEX"] = Closing()
    reset()
    assert index.closed == 1


def test_a_visitors_image_and_the_shops_own_have_limits_of_their_own(settings: Any) -> None:
    keys = {"MAX_IMAGE_BYTES": 10, "MAX_SOURCE_BYTES": 20}
    both = {"MAX_IMAGE_PIXELS": 30, "MAX_DECODE_BYTES": 40}
    settings.MMSEARCH = {**settings.MMSEARCH, **keys, **both, "MAX_WAIT_SECONDS": 0.5}
    alike = {"max_pixels": 30, "max_decode_bytes": 40}
    assert get_settings().upload_caps == {"max_bytes": 10, "max_wait": 0.5, **alike}
    assert get_settings().stored_caps == {"max_bytes": 20, "max_wait": None, **alike}


@pytest.mark.django_db
def test_the_limits_of_the_setting_hold_on_both_roads(use: Callable[..., None], sell: Sell) -> None:
    use(MAX_IMAGE_BYTES=50, MAX_SOURCE_BYTES=1_000)
    sell("red mug")
    assert drain().indexed == 1
    with pytest.raises(InvalidQuery, match="too large"):
        search(image=picture("red"))
    use(MAX_SOURCE_BYTES=50)
    sell("blue mug")
    assert drain().indexed == 0
