"""The vectors of the starter embedder."""

from __future__ import annotations

import builtins
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from example_shop.catalogue import Item, draw_leopard
from mmsearch_app.embedders.composing import Composes
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.inference.content import Content
from tests.embedders.starter.parts import SIDE, Rows, needs_weights, pick, picture


@needs_weights
@pytest.mark.parametrize("act", ["embed_documents", "embed_queries"])
def test_every_vector_is_finite_and_of_length_one(embedder: StarterEmbedder, act: str) -> None:
    plain = [Image.new("RGB", (90, 60), colour) for colour in ("white", "black", "#808080")]
    odd = [Image.new("RGB", size, "red") for size in ((1, 1), (1, 500), (2000, 3), (3, 3))]
    noise = np.random.default_rng(1).integers(0, 255, (70, 70, 3), dtype=np.uint8)
    texts = ["", "  ", "\N{SNOWMAN}", "\x00", "mug " * 2000, "not", "no red", "but in red", "مرحبا"]
    contents = [Content(image=image) for image in [*plain, *odd, Image.fromarray(noise)]]
    contents += [Content(text=text) for text in texts] + [Content()]
    contents += [Content(image=plain[0], text=text) for text in texts]
    rows = getattr(embedder, act)(contents)
    assert rows.dtype == np.float32
    assert rows.shape == (len(contents), embedder.dimension)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


@needs_weights
def test_nothing_to_embed_gives_no_rows(embedder: StarterEmbedder) -> None:
    assert embedder.embed_documents([]).shape == (0, embedder.dimension)
    assert embedder.embed_queries([]).shape == (0, embedder.dimension)


@needs_weights
@pytest.mark.parametrize("act", ["embed_documents", "embed_queries"])
def test_a_batch_gives_what_single_calls_give(
    embedder: StarterEmbedder, goods: list[Item], act: str
) -> None:
    wide = draw_leopard(SIDE).resize((SIDE, SIDE // 2))
    contents = [Content(image=picture(item)) for item in goods[:4]]
    contents += [
        Content(text="a mug"),
        Content(text="a longer text of several words"),
        Content(image=wide),
    ]
    contents += [
        Content(image=picture(goods[0]), text="but in red"),
        Content(image=wide, text="a mug"),
    ]
    embed: Callable[..., Rows] = getattr(embedder, act)
    singly = np.concatenate([embed([content]) for content in contents])
    np.testing.assert_allclose(embed(contents), singly, atol=1e-5)


@needs_weights
def test_an_image_query_has_the_vector_of_its_document(
    embedder: StarterEmbedder, goods: list[Item]
) -> None:
    content = Content(image=picture(goods[0]))
    both = embedder.embed_documents([content]) @ embedder.embed_queries([content]).T
    assert both == pytest.approx(1, abs=1e-5)


@needs_weights
def test_words_that_look_like_a_url_or_a_path_open_nothing(
    embedder: StarterEmbedder, monkeypatch: Any
) -> None:
    def refuse(*args: Any, **_: Any) -> None:
        msg = f"opened {args}"
        raise AssertionError(msg)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr(Image, "open", refuse)
    texts = [
        "http://127.0.0.1:1/x.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "data:image/png;base64,AA",
    ]
    contents = [Content(text=text) for text in texts]
    assert np.isfinite(embedder.embed_queries(contents)).all()
    assert np.isfinite(embedder.embed_documents(contents)).all()


@needs_weights
def test_a_heavier_block_changes_the_order(embedder: StarterEmbedder, goods: list[Item]) -> None:
    shown, same_kind, same_colour = (
        picture(pick(goods, kind=kind, colour=colour, pattern="plain"))
        for kind, colour in (("mug", "red"), ("mug", "blue"), ("hoodie", "red"))
    )
    colourful = StarterEmbedder(colour=20)
    colourful._models = embedder._models
    contents = [Content(image=image) for image in (shown, same_kind, same_colour)]
    for model, nearest in ((embedder, 1), (colourful, 2)):
        rows = model.embed_documents(contents)
        assert 1 + np.argmax(rows[1:] @ rows[0]) == nearest


@needs_weights
def test_a_described_image_is_composed_like_the_image_itself(
    embedder: StarterEmbedder, goods: list[Item]
) -> None:
    images = [picture(item) for item in goods[:3]]
    texts = ["but in red", "striped", "a mug with this"]
    aspects = [embedder.aspect_of(text) for text in texts]
    assert aspects == ["red", "", ""]
    described = embedder.describe_images(images, aspects)
    pairs = zip(images, texts, strict=True)
    whole = embedder.embed_queries([Content(image=image, text=text) for image, text in pairs])
    np.testing.assert_allclose(embedder.compose_queries(described, texts), whole, atol=1e-6)
    assert isinstance(embedder, Composes)
