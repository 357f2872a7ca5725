"""A forked child, as with gunicorn --preload, searches whatever its parent was doing."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module

import pytest

from mmsearch_app import Query, search
from tests.forking import works_in_child
from tests.shop import Catalogue
from tests.shop_kit import work_again

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def test_a_child_can_search_while_its_parent_takes_all_places(
    shop: Catalogue, use: Callable[..., None]
) -> None:
    use(MAX_CONCURRENT_SEARCHES=1)
    work_again()
    with import_module("mmsearch_app.searching.search")._place(Query(text="mug")):
        assert works_in_child(lambda: len(search("mug").hits) == 6)
