"""The starter embedder: weighted blocks in one vector."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsearch_app.embedders.starter.blocks import (
    SIZES,
    Blocks,
    StarterOptions,
    TitleVectors,
    WordVectors,
    ask,
    entitle,
    nothing,
    unit,
    untitled,
)
from mmsearch_app.embedders.starter.colours import colours_of, name_histogram, palette
from mmsearch_app.embedders.starter.foreground import find_object, frame_object
from mmsearch_app.embedders.starter.kinds import find_kind, meant_kinds, seen_kinds, worn_share
from mmsearch_app.embedders.starter.languages import put_into_english
from mmsearch_app.embedders.starter.repaint import repaint
from mmsearch_app.embedders.starter.weights import INSTALL, PartMissing
from mmsearch_app.embedders.starter.wording import Wish, drawn_patterns, read_wish
from mmsearch_app.inference import Content, renew_after_fork

if TYPE_CHECKING:
    from mmsearch_app.embedders.starter.foreground import Sight
    from mmsearch_app.embedders.starter.models import Models

    Vector = NDArray[np.float32]

_DESCRIBED: Final = Image.new("RGB", (1, 1))
"""Stands for an image of which only the description is at hand: its pixels are not read."""
_SENTENCE: Final = 0.2  # share of the whole sentence, colours and all, in a query of words


class StarterEmbedder:
    """Kind, look and colour of a product in one vector, without training and without a hub.

    *Seen* (620): the roots of an ImageNet classifier's posteriors, see `kinds`. *Said* (384): the
    sentence embedding of the title, mixed with that of what is seen: the posteriors as a convex
    combination of the class names' embeddings (ConSE: Norouzi et al., ICLR 2014). *Look*: the
    classifier's last features for the shape (320), and earlier ones, averaged over the object, for
    the texture (112). *Colour* (43): a soft histogram over named colours of the object rather
    than its background or who wears it, mixed with the colours that the title names.

    A text fills seen, said and, if it names colours, colour. An image with a text keeps what the
    text does not mention: "but in red" shows the networks the image in red and changes the
    colour; "a mug with this" takes the kind from the text, texture and colour from the image;
    "but striped" keeps the kind and changes the texture (drawn swatches teach stripes, dots and
    checks; other patterns act through titles only). `wording` has the rule for reading the text,
    `blocks` the rules for composing, `repaint` the one for other colours.

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

    def embed_documents(self, contents: Sequence[Content]) -> Vector:
        texts = [_words_of(content) for content in contents]
        titles = self._titles([*dict.fromkeys(text for text in texts if text is not None)])
        rows = zip(self._see(contents), texts, strict=True)
        return self._join([self._document(image, titles.get(text)) for image, text in rows])

    def embed_queries(self, contents: Sequence[Content]) -> Vector:
        aspects = [self.aspect_of(_words_of(content) or "") for content in contents]
        return self._compose(contents, self._see(contents, aspects))

    def aspect_of(self, text: str) -> str:
        """Return the colour in which words show an image to the networks; "" for its own."""
        colours = read_wish(text).colours
        return colours[0] if len(colours) == 1 else ""

    def describe_images(self, images: Sequence[Image.Image], aspects: Sequence[str]) -> Vector:
        """Return the blocks of each image, seen in a colour, side by side; (n, dimension)."""
        contents = [Content(image=image) for image in images]
        seen = self._see(contents, aspects)
        rows = [np.concatenate([getattr(blocks, name) for name in SIZES]) for blocks in seen]
        return np.array(rows, np.float32).reshape(-1, self.dimension)

    def compose_queries(self, images: Vector, texts: Sequence[str]) -> Vector:
        """Return the vectors of images from `describe_images` with words beside them."""
        ends = np.cumsum([*SIZES.values()])[:-1]
        seen = [Blocks(**dict(zip(SIZES, np.split(row, ends), strict=True))) for row in images]
        return self._compose([Content(image=_DESCRIBED, text=text) for text in texts], seen)

    def _compose(self, contents: Sequence[Content], seen: Sequence[Blocks | None]) -> Vector:
        wishes = [read_wish(_words_of(content) or "") for content in contents]
        words, shown = self._read(contents, wishes), map(self._untitled, seen)
        return self._join([ask(*both) for both in zip(words, shown, strict=True)])

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

    def _see(
        self, contents: Sequence[Content], aspects: Sequence[str] | None = None
    ) -> list[Blocks | None]:
        """Return the blocks of each image, seen in a colour if that is given; None if no image."""
        shown = [
            (content.image, aspect)
            for content, aspect in zip(contents, aspects or [""] * len(contents), strict=True)
            if content.image is not None
        ]
        if not shown:
            return [None] * len(contents)
        framed = [frame_object(image, find_object(image)) for image, _ in shown]
        views = [
            _recolour(*frame, aspect) for frame, (_, aspect) in zip(framed, shown, strict=True)
        ]
        sights = [sight for _, sight in framed]
        meanings, seen = self._load().see(views, sights)
        worn = worn_share(seen.posteriors)
        histograms = [colours_of(s, worn=float(w)) for s, w in zip(sights, worn, strict=True)]
        columns = (seen_kinds(seen.posteriors), meanings, seen.shapes, seen.textures, histograms)
        rows = zip(*columns, strict=True)
        blocks = iter([Blocks(**dict(zip(SIZES, row, strict=True))) for row in rows])
        return [None if content.image is None else next(blocks) for content in contents]

    def _say(self, texts: Iterable[str]) -> Mapping[str, Vector]:
        """Return the meaning of each text, which is encoded once however often it is given."""
        given = list(dict.fromkeys(texts))
        return dict(zip(given, self._load().say(given), strict=True)) if given else {}

    def _read(self, contents: Sequence[Content], wishes: Sequence[Wish]) -> list[WordVectors]:
        sentences = [_sentence_of(*both) for both in zip(contents, wishes, strict=True)]
        parts = (
            part
            for wish in wishes
            for part in (wish.kind, wish.patterns, wish.thing, wish.refused)
            if part
        )
        said = self._say([*(text for text in sentences if text is not None), *parts])
        return [self._words(wish, text, said) for wish, text in zip(wishes, sentences, strict=True)]

    def _words(self, wish: Wish, sentence: str | None, said: Mapping[str, Vector]) -> WordVectors:
        """Return what a query's text says. `sentence` is a text without an image beside it."""
        kind = said[wish.thing] if wish.kind else None
        if sentence is not None:
            thing = said.get(wish.thing, said[sentence])
            kind = unit(_SENTENCE * said[sentence] + (1 - _SENTENCE) * thing)
        return WordVectors(
            seen=self._meant(wish.kind, said[wish.kind]) if wish.kind else None,
            kind=kind,
            pattern=said[wish.patterns] if wish.patterns else None,
            texture=self._texture(wish.patterns),
            colour=name_histogram(wish.colours) if wish.colours else None,
            unwanted=name_histogram(wish.unwanted) if wish.unwanted else None,
            refused=said[wish.refused] if wish.refused else None,
            refused_texture=self._texture(wish.refused),
        )

    def _texture(self, words: str) -> Vector | None:
        named = drawn_patterns(words.split())
        return self._load().texture_of(named) if named else None

    def _document(self, image: Blocks | None, title: TitleVectors | None) -> Blocks:
        if title is not None:
            return entitle(image, title)
        return self._untitled(image) or nothing()

    def _untitled(self, image: Blocks | None) -> Blocks | None:
        return image and untitled(image, title=self.options.title)

    def _titles(self, texts: Collection[str]) -> dict[str | None, TitleVectors]:
        """Return what each title says: read once, however many images have it."""
        kinds = {text: find_kind(put_into_english(text)) for text in texts}
        said = self._say([*texts, *filter(None, kinds.values())])
        return {text: self._title(text, kind, said) for text, kind in kinds.items()}

    def _title(self, text: str, kind: str, said: Mapping[str, Vector]) -> TitleVectors:
        colours = read_wish(text).colours
        return TitleVectors(
            meaning=said[text],
            seen=self._meant(kind or text, said[kind or text]),
            kind=said[kind] if kind else None,
            colour=name_histogram(colours) if colours else None,
        )

    def _meant(self, text: str, meaning: Vector) -> Vector:
        return meant_kinds(text, meaning, self._load().towards)

    def _join(self, rows: Sequence[Blocks]) -> Vector:
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


def _recolour(image: Image.Image, sight: Sight, colour: str) -> Image.Image:
    return repaint(image, sight, palette().names[colour]) if colour else image
