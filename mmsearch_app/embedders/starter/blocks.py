"""The blocks of a vector, and how a query's words change those of its picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmsearch_app.embedders.starter.options import StarterOptions

    Vector = NDArray[np.float32]

__all__ = ["SIZES", "Blocks", "WordVectors", "ask", "nothing", "unit"]

SIZES: Final = {"meaning": 384, "shape": 320, "texture": 112, "colour": 43}

# Measured by benchmarks/starter.py on the example catalogue and checked on photographs.
PATTERN_SHARE: Final = 0.5  # of pattern words in the meaning; the picture's kind has the rest
PATTERN_SHAPE: Final = 0.5  # of the shape's weight, where the words name a pattern only
PATTERN_TEXTURE: Final = 2.5  # of the texture's weight, where they name one that can be drawn
KIND_TEXTURE: Final = 2.0  # of the texture's weight, where they name another kind of thing
COLOUR_ALONE: Final = 2.0  # of the colour's weight, where the words name it without a picture
COLOUR_BESIDE: Final = 3.0  # the same beside a picture, whose shape and texture count too
UNWANTED: Final = 0.5  # how far below nothing an unwanted colour counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """One picture, product or query. A block's length is its weight: 1, 0 if nothing is known."""

    meaning: Vector
    shape: Vector
    texture: Vector
    colour: Vector

    def join(self, options: StarterOptions) -> Vector:
        """One vector of length 1.

        Blocks are scaled by the roots of their weights, so that the product of two such vectors
        has each block's cosine in it with the weight itself.
        """
        parts = [getattr(self, name) * getattr(options, name) ** 0.5 for name in SIZES]
        return unit(np.concatenate(parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class WordVectors:
    """What a query's words say; None where they do not speak of it."""

    kind: Vector | None = None
    """The meaning of the words that name a kind of thing, with their patterns."""
    pattern: Vector | None = None
    """The meaning of the words that name a pattern."""
    texture: Vector | None = None
    """The texture of that pattern, where it can be drawn."""
    colour: Vector | None = None
    unwanted: Vector | None = None


def unit(vector: Vector) -> Vector:
    """The vector at length 1; a zero stays zero."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


def nothing() -> Blocks:
    """Blocks of which nothing is known."""
    return Blocks(**{name: np.zeros(size, np.float32) for name, size in SIZES.items()})


def ask(words: WordVectors, picture: Blocks | None) -> Blocks:
    """Keep from the picture what the words do not mention, take from them what they do.

    Another kind of thing: its meaning, no shape, and the picture's texture and colour. Another
    pattern: a meaning between the two, and its texture if that can be drawn, else none. Another
    colour: that, and all the rest. Without a picture, `words.kind` is given.
    """
    asked = picture or nothing()
    if words.kind is not None:
        texture = KIND_TEXTURE * asked.texture
        asked = replace(asked, meaning=words.kind, shape=nothing().shape, texture=texture)
    elif words.pattern is not None:
        meaning = unit(PATTERN_SHARE * words.pattern + (1 - PATTERN_SHARE) * asked.meaning)
        asked = replace(asked, meaning=meaning, shape=PATTERN_SHAPE * asked.shape)
    if words.pattern is not None:
        drawn = nothing().texture if words.texture is None else PATTERN_TEXTURE * words.texture
        asked = replace(asked, texture=drawn)
    return _recolour(asked, words, COLOUR_BESIDE if picture else COLOUR_ALONE)


def _recolour(asked: Blocks, words: WordVectors, weight: float) -> Blocks:
    colour = asked.colour if words.colour is None else weight * words.colour
    if words.unwanted is not None:
        overlap = max(float(colour @ words.unwanted), 0.0)
        colour = colour - (overlap + UNWANTED) * words.unwanted
    return replace(asked, colour=colour)
