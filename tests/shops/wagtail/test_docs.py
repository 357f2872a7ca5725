"""The documentation's snippets about Wagtail."""

from __future__ import annotations

import pytest

from tests.docs.blocks import Block
from tests.shops.snippets import render, run_settings, run_source, snippets
from tests.shops.wagtail.conftest import Shop


@pytest.mark.parametrize("block", snippets("wagtail"), ids=lambda block: block.id)
def test_a_snippet_works(block: Block, shop: Shop) -> None:
    if block.file.endswith("settings.py"):
        run_settings(block)
    elif block.file.endswith("mmsearch.py"):
        run_source(block)
    else:
        assert "mmsearch-like" in render(block, page=shop.pages["Red mug"])
