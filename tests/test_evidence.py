"""The tables of `docs/evidence.md` that do not depend on the machine match the code."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("msgpack", reason="MagicLens needs msgpack: mmsearch[models]")

from benchmarks import fusion, parity

PAGE = Path(__file__).resolve().parent.parent / "docs" / "evidence.md"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_released_key_is_matched_as_the_page_says(page: str) -> None:
    every = list(parity.match())
    assert all(len(keys.released) == len(keys.ours) == keys.matched for keys in every)
    assert parity.render_keys(every) in page, "run: python -m benchmarks.evidence"


def test_every_fixture_of_the_page_is_compared_and_close(page: str) -> None:
    rows = list(parity.compare())
    assert max(row.difference for row in rows) < 1e-4
    for row in rows:
        assert f"| {row.fixture} | {row.compared} | {row.count} | " in page


def test_the_bounds_of_the_fusion_are_those_of_the_page(page: str) -> None:
    assert fusion.render() in page, "run: python -m benchmarks.evidence"
