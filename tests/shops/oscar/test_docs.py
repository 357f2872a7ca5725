"""The documentation's snippets about django-oscar and about thumbnails."""

from __future__ import annotations

import pytest

from tests.docs.blocks import Block
from tests.shops.oscar.conftest import Shop
from tests.shops.snippets import run_page, run_settings, run_source, snippets

BLOCKS = snippets("oscar")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.id)
def test_a_snippet_works(block: Block, shop: Shop) -> None:
    if block.file.endswith("settings.py"):
        run_settings(block)
    elif block.file.endswith("mmsearch.py"):
        run_source(block)
    else:
        page = run_page(block, shop.products["Red mug"].get_absolute_url())
        assert b"mmsearch-like" in page.content
        assert b"Product Information" in page.content


def test_there_are_snippets_about_each_library_of_thumbnails() -> None:
    texts = "\n".join(block.text for block in BLOCKS)
    assert [name for name in ("sorl", "easy_thumbnails", "imagekit") if name not in texts] == []
