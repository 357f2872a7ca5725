"""The parts in MMSEARCH: invalid ones are refused, and no message shows a secret."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import override_settings

from mmsearch_app.backends import get_embedder, get_index, get_reranker
from mmsearch_app.conf import get_settings
from mmsearch_app.testing import IN_MEMORY, TestingEmbedder

SECRET = "sk-very-secret"
GETTERS = {"EMBEDDER": get_embedder, "INDEX": get_index, "RERANKER": get_reranker}


def refusal(**keys: Any) -> str:
    with override_settings(MMSEARCH={**IN_MEMORY, **keys}):
        with pytest.raises(ImproperlyConfigured) as caught:
            get_settings()
            for key in keys:
                GETTERS[key]()
        return str(caught.value)


@pytest.mark.parametrize("key", GETTERS)
@pytest.mark.parametrize(
    "part",
    [
        {"BACKED": "x.Y", "OPTIONS": {"api_key": SECRET}},
        {"BACKEND": "x.Y", "OPTIONS": {}, "TOKEN": SECRET},
        {"BACKEND": "x.Y", "OPTIONS": [SECRET]},
        [SECRET],
    ],
)
def test_errors_do_not_show_values(key: str, part: Any) -> None:
    assert SECRET not in refusal(**{key: part})


def test_errors_name_the_given_keys() -> None:
    said = refusal(INDEX={"OPTIONS": {"token": SECRET}, "BACKED": "x.Y"})
    assert said.endswith("not a dict with BACKED, OPTIONS.")


def test_the_system_check_shows_no_secret() -> None:
    part = {"BACKED": "x.Y", "OPTIONS": {"token": SECRET}}
    with override_settings(MMSEARCH={**IN_MEMORY, "INDEX": part}):
        with pytest.raises(CommandError) as caught:
            call_command("check")
        assert "mmsearch_app.E001" in str(caught.value)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "lacking"),
    [
        ("EMBEDDER", "it lacks dimension, embed_documents, embed_queries, fingerprint."),
        ("INDEX", "it lacks contents, count, create, delete, "),
        ("RERANKER", "it lacks fingerprint, rerank."),
    ],
)
def test_a_class_that_is_not_such_a_part_is_refused(key: str, lacking: str) -> None:
    said = refusal(**{key: {"BACKEND": "django.http.HttpResponse"}})
    assert f"MMSEARCH['{key}']['BACKEND'] = 'django.http.HttpResponse' does not implement " in said
    assert lacking in said


class Unknown(TestingEmbedder):
    """An embedder whose fingerprint needs its weights."""

    def __init__(self) -> None:
        self.dimension = 256

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        raise FileNotFoundError("the weights are not there yet")


def test_a_part_is_recognised_without_reading_its_attributes() -> None:
    part = {"BACKEND": f"{__name__}.Unknown"}
    with override_settings(MMSEARCH={**IN_MEMORY, "EMBEDDER": part}):
        assert isinstance(get_embedder(), Unknown)


class Wrapped:
    """A proxy of an embedder that forwards attribute access."""

    def __init__(self) -> None:
        self.inner = TestingEmbedder()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_a_proxy_of_a_part_is_accepted() -> None:
    part = {"BACKEND": f"{__name__}.Wrapped"}
    with override_settings(MMSEARCH={**IN_MEMORY, "EMBEDDER": part}):
        assert get_embedder().dimension == TestingEmbedder.dimension
