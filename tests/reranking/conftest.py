"""A shop with a reranker, behind every door: Python, API, page and browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mmsearch_app import conf
from mmsearch_app.testing import IN_MEMORY, index_everything
from tests.reranking.parts import Moody
from tests.storefront.conftest import chromium as chromium
from tests.storefront.conftest import page as page
from tests.storefront.conftest import sell as sell
from tests.storefront.conftest import shelf as shelf
from tests.storefront.conftest import shop as shop
from tests.storefront.conftest import site as site
from tests.storefront.test_browser_pages import axe as axe

Use = Callable[..., None]


@pytest.fixture
def use(settings: Any) -> Use:
    """Change keys of the setting MMSEARCH, keeping what is indexed."""

    def change(**keys: Any) -> None:
        index = conf._built.pop("INDEX", None)
        settings.MMSEARCH = {**IN_MEMORY, **settings.MMSEARCH, **keys}
        if index is not None:
            conf._built["INDEX"] = index

    return change


@pytest.fixture
def moody(use: Use) -> Iterator[type[Moody]]:
    """The reranker of the setting; its order alone counts."""
    Moody.calm()
    use(RERANKER={"BACKEND": "tests.reranking.parts.Moody"}, RERANK_WEIGHT=1.0)
    yield Moody
    Moody.calm()
    for thread in threading.enumerate():  # a late one would write into the next test's cache
        if thread.name == "mmsearch-rerank":
            thread.join(30)


@pytest.fixture
def mugs(moody: type[Moody], shop: dict[str, Any]) -> type[Moody]:
    """A shop of six products whose reranker turns the order round."""
    index_everything()
    return moody
