"""The blocks of a vector, their weights, and how a query's text changes those of its image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.embedders.starter import weights
from mmsearch_app.embedders.starter.kinds import KINDS

if TYPE_CHECKING:
    Vector = NDArray[np.float32]

_VERSION: Final = 4  # of preprocessing and mixing: raise it when vectors change
SIZES: Final = {"seen": KINDS, "said": 384, "shape": 320, "texture": 112, "colour": 43}

# Measured by benchmarks/starter.py on the example catalogue and checked on photographs.
UNTITLED: Final = 0.5  # length of what is said of an image without a title: what it shows
TITLE_KIND: Final = 0.4  # of the kind that a title names, beside the kinds that its image shows
TITLE_HEAD: Final = 0.5  # of that kind's meaning, beside that of the whole title
TITLE_SHOWN: Final = 0.3  # of the meaning of what the image shows, beside that of its title
TITLE_VAGUE: Final = 0.5  # the same if the title names no known kind: a brand, a number
TITLE_COLOUR: Final = 0.75  # of the colours that a title names, beside those of its image
PATTERN_SHARE: Final = 0.5  # of pattern words in what is said; the image's meaning has the rest
PATTERN_SHAPE: Final = 0.5  # times the shape's weight, if the text names a pattern only
PATTERN_TEXTURE: Final = 4.0  # times the texture's weight, if it names one that can be drawn
KIND_TEXTURE: Final = 2.0  # times the texture's weight, if it names another kind of thing
COLOUR_ALONE: Final = 2.3  # times the colour's weight, if a text without an image names it
COLOUR_BESIDE: Final = 3.0  # the same beside an image, whose shape and texture count too
UNWANTED: Final = 0.5  # how far below zero what is refused counts


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterOptions:
    """Options of the StarterEmbedder: how much each block counts, and how the models run.

    Raises ValueError if one is wrong.
    """

    meaning: float = 1.2
    """Weight of what the product is, in words."""
    shape: float = 0.7
    """Weight of the product's form."""
    texture: float = 0.3
    """Weight of the product's pattern and material."""
    colour: float = 0.15
    """Weight of the product's colours."""
    title: float = 0.55
    """Share of a product's title in the weight of its meaning; the image has the rest."""
    batch_size: int = 4
    """Images that go through the classifier at once. More take more memory, and are no faster."""
    threads: int | None = None
    """Threads of each model; None takes one for each core that this process may use."""

    def __post_init__(self) -> None:
        self._check("meaning", 0.01, 100, "a weight")
        self._check("shape", 0, 100, "a weight")
        self._check("texture", 0, 100, "a weight")
        self._check("colour", 0, 100, "a weight")
        self._check("title", 0, 1, "a share")
        self._check("batch_size", 1, 4096, "a whole number")
        if self.threads is not None:
            self._check("threads", 1, 1024, "a whole number or None")

    def _check(self, name: str, least: float, most: float, what: str) -> None:
        value = getattr(self, name)
        kinds = (int,) if what.startswith("a whole") else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
            msg = f"{name} must be {what} from {least} to {most}, not {value!r}."
            raise ValueError(msg)

    @classmethod
    def read(cls, given: Mapping[str, object]) -> StarterOptions:
        """Return the options given by name. Raises ValueError that lists the right names."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            msg = f"StarterEmbedder has no option {unknown[0]!r}; it has {', '.join(known)}."
            raise ValueError(msg)
        return cls(**given)  # type: ignore[arg-type]

    def shares(self) -> dict[str, float]:
        """Return the weight of each block; the meaning's is divided into seen and said."""
        return {
            "seen": self.meaning * (1 - self.title),
            "said": self.meaning * self.title,
            "shape": self.shape,
            "texture": self.texture,
            "colour": self.colour,
        }

    def fingerprint(self, *, dimension: int) -> str:
        """Return what identifies vectors: models, files, preprocessing, weights, dimension."""
        parts = [part.sha256 for part in weights.PINNED]
        mix = [self.meaning, self.shape, self.texture, self.colour, self.title]
        content = json.dumps([_VERSION, parts, [float(x) for x in mix], dimension])
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        return f"starter-{_VERSION}/efficientnet-lite0+all-minilm-l6-v2/{dimension}/{digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """The blocks of an image, product or query. A block's length is its weight, 0 if unknown."""

    seen: Vector
    """Kinds of thing that the image shows."""
    said: Vector
    """Meaning of the title."""
    shape: Vector
    texture: Vector
    colour: Vector

    def join(self, options: StarterOptions) -> Vector:
        """Return one vector of length 1.

        Blocks are scaled by the roots of their weights, so that the inner product of two vectors
        contains each block's cosine times its weight.
        """
        parts = [getattr(self, name) * share**0.5 for name, share in options.shares().items()]
        return unit(np.concatenate(parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class TitleVectors:
    """What a product's title says; None if it does not mention that."""

    meaning: Vector
    seen: Vector
    """Kinds of thing that an image shows if it shows what the title names."""
    kind: Vector | None = None
    """Meaning of the words that name a known kind of thing."""
    colour: Vector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WordVectors:
    """What a query's text says; None if it does not mention that."""

    seen: Vector | None = None
    """Kinds of thing that an image shows if it shows what the words name."""
    kind: Vector | None = None
    """Meaning of the words that name a kind of thing, with their patterns."""
    pattern: Vector | None = None
    """Meaning of the words that name a pattern."""
    texture: Vector | None = None
    """Texture of that pattern, if it can be drawn."""
    colour: Vector | None = None
    unwanted: Vector | None = None
    """Colour that is refused."""
    refused: Vector | None = None
    """Meaning of a pattern or a kind of thing that is refused."""
    refused_texture: Vector | None = None
    """Texture of that pattern, if it can be drawn."""


def unit(vector: Vector) -> Vector:
    """Scale a vector to length 1; a zero vector stays zero."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


def nothing() -> Blocks:
    """Return blocks of which nothing is known: zeros."""
    return Blocks(**{name: np.zeros(size, np.float32) for name, size in SIZES.items()})


def untitled(image: Blocks, *, title: float) -> Blocks:
    """Return the blocks of an image without a title: said of it is, in part, what it shows.

    What is seen counts more instead, by as much as keeps the length of the vector, if the share
    of a `title` is below 1: products with and without titles can be found side by side.
    """
    if title >= 1:
        return image
    more = ((1 - title * UNTITLED**2) / (1 - title)) ** 0.5
    return replace(image, seen=more * image.seen, said=UNTITLED * image.said)


def entitle(image: Blocks | None, title: TitleVectors) -> Blocks:
    """Return the blocks of a product: of its image, if it has one, and of its title.

    Neither hides the other: the title has a block of its own, into which what the image shows is
    mixed, and the kind and the colours that it names are mixed into those that the image shows.
    """
    if image is None:
        colour = nothing().colour if title.colour is None else title.colour
        return replace(nothing(), seen=title.seen, said=title.meaning, colour=colour)
    image = replace(image, colour=_mix(image.colour, TITLE_COLOUR, title.colour))
    if title.kind is None:
        return replace(image, said=_mix(title.meaning, TITLE_VAGUE, image.said))
    said = _mix(_mix(title.meaning, TITLE_HEAD, title.kind), TITLE_SHOWN, image.said)
    return replace(image, seen=_mix(image.seen, TITLE_KIND, title.seen), said=said)


def _mix(one: Vector, share: float, other: Vector | None) -> Vector:
    """Add `share` times a second vector, if there is one; the result has length 1."""
    return one if other is None else unit(one + share * other)


def ask(words: WordVectors, image: Blocks | None) -> Blocks:
    """Compose a query: what the text mentions, and from the image the rest.

    If the text names a kind of thing: its meaning, no shape, the image's texture and colour. A
    pattern: a meaning between the two, and its texture if that can be drawn, else none. A
    colour: that colour, and everything else of the image. What is refused is turned away from.
    Without an image, `words.kind` is given unless the text only refuses something.
    """
    asked = image or nothing()
    if words.kind is not None:
        texture = KIND_TEXTURE * asked.texture
        seen = nothing().seen if words.seen is None else words.seen
        asked = replace(asked, seen=seen, said=words.kind, shape=nothing().shape, texture=texture)
    elif words.pattern is not None:
        said = unit(PATTERN_SHARE * words.pattern + (1 - PATTERN_SHARE) * unit(asked.said))
        asked = replace(asked, said=said, shape=PATTERN_SHAPE * asked.shape)
    if words.pattern is not None:
        drawn = nothing().texture if words.texture is None else PATTERN_TEXTURE * words.texture
        asked = replace(asked, texture=drawn)
    if words.colour is not None:
        asked = replace(asked, colour=(COLOUR_BESIDE if image else COLOUR_ALONE) * words.colour)
    return replace(
        asked,
        said=_away(asked.said, words.refused),
        texture=_away(asked.texture, words.refused_texture),
        colour=_away(asked.colour, words.unwanted),
    )


def _away(asked: Vector, refused: Vector | None) -> Vector:
    if refused is None:
        return asked
    overlap = max(float(asked @ refused), 0.0)
    return np.asarray(asked - (overlap + UNWANTED) * refused, np.float32)
