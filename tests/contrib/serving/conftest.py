"""A running model server of this project."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmsearch_app.testing import TestingEmbedder


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from tests.contrib.serving.served import running  # needs the extra `serve`

    with running(TestingEmbedder()) as found:
        yield found
