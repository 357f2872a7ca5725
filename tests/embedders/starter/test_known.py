"""The shipped meanings are those that the sentence encoder gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmsearch_app.embedders.starter import known
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from tests.embedders.starter.parts import needs_weights

pytestmark = needs_weights


@pytest.fixture
def groups() -> list[known.Group]:
    from mmsearch_app.embedders.starter.models import NAMED, read_names

    return [group for of in NAMED for group in read_names(of)]


def refuse(missing: Any) -> Any:
    msg = f"run: python -m tools.meanings; {missing} are not known"
    raise AssertionError(msg)


def test_every_start_finds_all_meanings(groups: list[known.Group]) -> None:
    assert known.recall(groups, refuse).shape == (2000, 384)


def test_known_meanings_are_those_of_the_encoder(
    embedder: StarterEmbedder, groups: list[known.Group]
) -> None:
    assert embedder._models is not None
    some = groups[::50]
    expected = embedder._models.sentences.embed_means(some)
    np.testing.assert_allclose(known.recall(some, refuse), expected, atol=1e-3)


def test_unknown_groups_are_embedded_once(groups: list[known.Group]) -> None:
    asked: list[Any] = []

    def embed(missing: Any) -> known.Meanings:
        asked.append(missing)
        return np.full((len(missing), 384), 7, np.float32)

    new = ("a thing", "that nobody knows")
    found = known.recall([new, groups[0], new], embed)
    assert asked == [[new]]
    assert (found[[0, 2]] == 7).all()
    assert not (found[1] == 7).any()


def test_other_weights_know_nothing(monkeypatch: Any, groups: list[known.Group]) -> None:
    monkeypatch.setattr(known, "_WEIGHTS", "others")
    known._read.cache_clear()
    try:
        with pytest.raises(AssertionError, match=r"tools\.meanings"):
            known.recall(groups, refuse)
    finally:
        known._read.cache_clear()
