"""The starter embedder: weighted blocks in one vector."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsearch_app.embedders.starter.blocks import (
    SIZES,
    Blocks,
    StarterOptions,
    WordVectors,
    ask,
    nothing,
    unit,
)
from mmsearch_app.embedders.starter.colours import colours_of, name_histogram
from mmsearch_app.embedders.starter.foreground import find_object, frame_object
from mmsearch_app.embedders.starter.weights import INSTALL, PartMissing
from mmsearch_app.embedders.starter.wording import Wish, drawn_patterns, read_wish
from mmsearch_app.inference import Content, renew_after_fork

if TYPE_CHECKING:
    from mmsearch_app.embedders.starter.models import Models

_DESCRIBED: Final = Image.new("RGB", (1, 1))
"""Stands for an image of which only the description is at hand: its pixels are not read."""
_SENTENCE: Final = 0.2  # share of the whole sentence, colours and all, in a query of words


class StarterEmbedder:
    """Meaning, look and colour of a product in one vector, without training and without a hub.

    *Meaning* (384): the posteriors of an ImageNet classifier as a convex combination of the class
    names' sentence embeddings (ConSE: Norouzi et al., ICLR 2014), mixed with the sentence
    embedding of the title. *Look*: the classifier's last features for the shape (320), and
    earlier ones, averaged over the object, for the texture (112). *Colour* (43): a soft histogram
    over named colours of the object rather than its background.

    A text fills meaning and, if it names colours, colour. An image with a text keeps what the
    text does not mention: "but in red" changes the colour only; "a mug with this" takes the kind
    from the text, texture and colour from the image; "but striped" keeps the kind and changes the
    texture (drawn swatches teach stripes, dots and checks; other patterns act through titles
    only). `wording` has the rule for reading the text, `blocks` the rule for composing.

    Good enough to try everything on a laptop. In production, use a trained multimodal model: this
    one knows what 1,000 everyday classes and English words say, no brands, no writing in images,
    and no fine differences within a kind.

    For the options see `StarterOptions`. Constructing one loads nothing. Raises ValueError for a
    wrong option, and PartMissing at the first call if the packages of `mmsearch[starter]` are
    missing or are not the pinned ones.
    """

    dimension: int = sum(SIZES.values())
    image_side: Final = 560  # more than twice what the classifier reads: it crops to the object

    def __init__(self, **options: object) -> None:
        self.options = StarterOptions.read(options)
        self.fingerprint: str = self.options.fingerprint(dimension=self.dimension)
        self._models: Models | None = None
        self._reset()
        renew_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        self.embed_queries([Content(text="a red mug")])

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        titles = self._say([_words_of(content) for content in contents])
        seen = self._see(contents)
        return self._join([self._entitle(*both) for both in zip(seen, titles, strict=True)])

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        words, seen = self._read(contents), self._see(contents)
        return self._join([ask(*both) for both in zip(words, seen, strict=True)])

    def describe_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return the blocks of each image side by side, shape (n, dimension)."""
        seen = self._see([Content(image=image) for image in images])
        rows = [np.concatenate([getattr(blocks, name) for name in SIZES]) for blocks in seen]
        return np.array(rows, np.float32).reshape(-1, self.dimension)

    def compose_queries(
        self, images: NDArray[np.float32], texts: Sequence[str]
    ) -> NDArray[np.float32]:
        """Return the vectors of images from `describe_images` with words beside them."""
        ends = np.cumsum([*SIZES.values()])[:-1]
        seen = [Blocks(**dict(zip(SIZES, np.split(row, ends), strict=True))) for row in images]
        words = self._read([Content(image=_DESCRIBED, text=text) for text in texts])
        return self._join([ask(*both) for both in zip(words, seen, strict=True)])

    def _load(self) -> Models:
        with self._lock:
            if self._models is None:
                try:
                    from mmsearch_app.embedders.starter.models import Models
                except ImportError as error:
                    msg = f"The starter embedder cannot run ({error}): {INSTALL}"
                    raise PartMissing(msg) from error
                self._models = Models(self.options)
            return self._models

    def _see(self, contents: Sequence[Content]) -> list[Blocks | None]:
        """Return the blocks of each image; None if there is none."""
        images = [content.image for content in contents if content.image is not None]
        if not images:
            return [None] * len(contents)
        framed = [frame_object(image, find_object(image)) for image in images]
        near, sights = zip(*framed, strict=True)
        meanings, seen = self._load().see(near, sights)
        rows = zip(meanings, seen.shapes, seen.textures, map(colours_of, sights), strict=True)
        blocks = iter([Blocks(meaning=m, shape=s, texture=t, colour=c) for m, s, t, c in rows])
        return [None if content.image is None else next(blocks) for content in contents]

    def _say(self, texts: Sequence[str | None]) -> list[NDArray[np.float32] | None]:
        """Return the meaning of each text; None if there is none."""
        given = [text for text in texts if text is not None]
        said = iter(self._load().say(given) if given else ())
        return [None if text is None else next(said) for text in texts]

    def _read(self, contents: Sequence[Content]) -> list[WordVectors]:
        texts = [_words_of(content) for content in contents]
        wishes = [read_wish(text or "") for text in texts]
        things = self._say([wish.thing or None for wish in wishes])
        patterns = self._say([wish.patterns or None for wish in wishes])
        refused = self._say([wish.refused or None for wish in wishes])
        sentences = self._say([_sentence_of(*both) for both in zip(contents, wishes, strict=True)])
        textures = [self._texture(wish.patterns) for wish in wishes]
        refused_textures = [self._texture(wish.refused) for wish in wishes]
        rows = zip(
            *(wishes, things, patterns, textures, sentences, refused, refused_textures), strict=True
        )
        return [_words(*row) for row in rows]

    def _texture(self, words: str) -> NDArray[np.float32] | None:
        named = drawn_patterns(words.split())
        return self._load().texture_of(named) if named else None

    def _entitle(self, image: Blocks | None, title: NDArray[np.float32] | None) -> Blocks:
        if title is None:
            return image or nothing()
        if image is None:
            return replace(nothing(), meaning=title)
        share = self.options.title
        return replace(image, meaning=unit(share * title + (1 - share) * image.meaning))

    def _join(self, rows: Sequence[Blocks]) -> NDArray[np.float32]:
        vectors = [blocks.join(self.options) for blocks in rows]
        return np.array(vectors, np.float32).reshape(-1, self.dimension)


def _words_of(content: Content) -> str | None:
    """Return the text; None if an image has no text, "" if there is neither."""
    words = (content.text or "").strip()
    return words or ("" if content.image is None else None)


def _sentence_of(content: Content, wish: Wish) -> str | None:
    """Return the words of a query without an image; None if they only refuse something."""
    only_refuses = not wish.thing and not wish.colours and bool(wish.refused or wish.unwanted)
    return None if content.image is not None or only_refuses else wish.sentence


def _words(
    wish: Wish,
    thing: NDArray[np.float32] | None,
    pattern: NDArray[np.float32] | None,
    texture: NDArray[np.float32] | None,
    sentence: NDArray[np.float32] | None,
    refused: NDArray[np.float32] | None,
    refused_texture: NDArray[np.float32] | None,
) -> WordVectors:
    """Return what a query's text says. `sentence` is the meaning of a text without an image."""
    kind = thing if wish.kind else None
    if sentence is not None:
        kind = sentence if thing is None else unit(_SENTENCE * sentence + (1 - _SENTENCE) * thing)
    return WordVectors(
        kind=kind,
        pattern=pattern,
        texture=texture,
        colour=name_histogram(wish.colours) if wish.colours else None,
        unwanted=name_histogram(wish.unwanted) if wish.unwanted else None,
        refused=refused,
        refused_texture=refused_texture,
    )
