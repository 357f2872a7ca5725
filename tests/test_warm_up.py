"""Loading the models in a web process before its first request."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

import mmsearch_app
from mmsearch_app.backends import get_embedder
from mmsearch_app.inference.content import Content
from mmsearch_app.rerankers.base import Ranking
from mmsearch_app.testing import TestingEmbedder


class Loading(TestingEmbedder):
    """Records the process in which it was loaded."""

    loaded: ClassVar[list[int]] = []

    def warm_up(self) -> None:
        self.loaded.append(os.getpid())


class Stubborn(TestingEmbedder):
    """Fails to load."""

    def warm_up(self) -> None:
        raise ConnectionError("the model server is down")


class Judge:
    """A reranker that can be loaded."""

    fingerprint = "judge-1"
    loaded: ClassVar[list[int]] = []

    def warm_up(self) -> None:
        self.loaded.append(os.getpid())

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        return Ranking(order=tuple(range(len(candidates))))


@pytest.fixture(autouse=True)
def _nothing_is_loaded() -> None:
    Loading.loaded.clear()
    Judge.loaded.clear()


def choose(use: Any, embedder: type) -> None:
    use(
        EMBEDDER={"BACKEND": f"{__name__}.{embedder.__name__}"},
        RERANKER={"BACKEND": f"{__name__}.Judge"},
    )


def test_embedder_and_reranker_are_loaded_in_this_process(use: Any) -> None:
    choose(use, Loading)
    mmsearch_app.warm_up()
    assert Loading.loaded == Judge.loaded == [os.getpid()]


def test_a_part_that_cannot_be_loaded_is_logged(use: Any, caplog: pytest.LogCaptureFixture) -> None:
    choose(use, Stubborn)
    mmsearch_app.warm_up()
    assert "The embedder cannot be warmed up" in caplog.text
    assert "the model server is down" in caplog.text
    assert Judge.loaded


def test_a_part_without_warm_up_is_skipped(use: Any, caplog: pytest.LogCaptureFixture) -> None:
    mmsearch_app.warm_up()
    assert not caplog.records
    assert isinstance(get_embedder(), TestingEmbedder)


def test_starting_django_warms_nothing_up(use: Any) -> None:
    from django.apps import apps

    choose(use, Loading)
    apps.get_app_config("mmsearch_app").ready()
    assert not Loading.loaded
