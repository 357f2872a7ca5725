"""Runs the documentation's snippets for a shop inside that shop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.template import Context, Template

from mmsearch_app.indexing import connect
from mmsearch_app.sources import registry
from mmsearch_app.testing import index_everything
from tests.docs.blocks import Block, collect
from tests.docs.run_snippets import execute, overriding, require_no_error
from tests.shops.visitor import find, image, stored


def snippets(shop: str) -> list[Block]:
    """The snippets that run in this shop."""
    return [block for block in collect() if block.shop == shop]


@contextmanager
def in_an_empty_registry() -> Iterator[None]:
    """Put the shop's own sources aside during the block."""
    kept, defaults = dict(registry._sources), set(registry._defaults)
    registry._sources.clear()
    registry._defaults.clear()
    registry._forget_models()
    try:
        yield
    finally:
        registry._sources.clear()
        registry._sources.update(kept)
        registry._defaults.update(defaults)
        registry._forget_models()


def run_settings(block: Block) -> None:
    """Every app exists, and ours are in the order that the templates need."""
    given: dict[str, Any] = {"INSTALLED_APPS": []}
    execute(block, given)
    for app in given["INSTALLED_APPS"]:
        AppConfig.create(app)
    ours = [app for app in settings.INSTALLED_APPS if app.startswith("mmsearch_app")]
    assert given["INSTALLED_APPS"] == ours


def run_source(block: Block) -> None:
    """The sources pass the checks, are indexed, and their results have pictures that exist."""
    with in_an_empty_registry():
        execute(block, {"__name__": "mmsearch"})
        assert len(registry), "nothing is registered"
        connect()
        require_no_error()
        index_everything()
        found = find("mug")
        assert found
        for card in found.values():
            assert stored(str(image(card)["src"]))
            for step in str(image(card).get("srcset", "")).split(", "):
                assert not step or stored(step.split()[0])


def run_page(block: Block, address: str) -> Any:
    """The template takes the place of the shop's own; returns the page at the address."""
    from django.test import Client

    name = block.file.removeprefix("templates/")
    with overriding(name, block.text):
        page = Client().get(address)
    assert page.status_code == 200
    return page


def render(block: Block, **names: Any) -> str:
    return Template(block.text).render(Context(names))
