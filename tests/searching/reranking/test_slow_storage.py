"""A slow storage neither delays the answer nor counts as a failure of the model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from mmsearch_app import images, search
from mmsearch_app.searching.guard import get_guard
from tests.searching.reranking.conftest import Mugs, Use
from tests.waiting import until

pytestmark = pytest.mark.django_db


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[Any]]:
    """Opening an image takes some seconds; the returned list collects the opened images."""

    def make(seconds: float) -> list[Any]:
        opened: list[Any] = []
        open_image = images.open_image

        def open_late(file: Any, **caps: int) -> Any:
            opened.append(file)
            time.sleep(seconds)
            return open_image(file, **caps)

        monkeypatch.setattr(images, "open_image", open_late)
        return opened

    return make


def test_no_image_is_opened_after_the_deadline(
    mugs: Mugs, use: Use, slow: Callable[[float], list[Any]]
) -> None:
    use(RERANK_TIMEOUT=0.3)
    opened = slow(0.2)
    found = search("red mug")
    assert len(opened) <= 2
    assert mugs.calls == []
    assert "took longer than 0.3 seconds" in found.notes[0]


def test_slow_images_are_not_a_failure_of_the_model(
    mugs: Mugs, use: Use, slow: Callable[[float], list[Any]]
) -> None:
    use(RERANK_TIMEOUT=0.1)
    slow(0.2)
    for number in range(4):
        assert "took longer" in search(f"red mug {number}").notes[0]
    assert get_guard().load().failures == 0


def test_a_timeout_is_not_a_failure_of_the_model_if_too_little_time_was_left(
    mugs: Mugs, use: Use, slow: Callable[[float], list[Any]]
) -> None:
    use(RERANK_TIMEOUT=1.0)
    slow(0.12)
    mugs.gate.clear()
    assert search("red mug").ranked_by == "index"
    mugs.gate.set()
    until(lambda: get_guard().load().under_way == 0)
    assert get_guard().load().failures == 0
