"""Both models, loaded together; importing this module imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from mmsearch_app.embedders.starter.sentences import Sentences
from mmsearch_app.embedders.starter.shopwords import put_plainly
from mmsearch_app.embedders.starter.vision import Seen, Vision

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from mmsearch_app.embedders.starter.foreground import Sight
    from mmsearch_app.embedders.starter.options import StarterOptions

__all__ = ["Models", "read_names"]

KIND_SHARE: Final = 0.5  # of what a class is a kind of, beside its own names


class Models:
    """What pictures show, and what words mean. Raises PartMissing."""

    def __init__(self, options: StarterOptions) -> None:
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        self.batch = options.batch_size
        self.vision = Vision(device=options.device)
        self.sentences = Sentences(device=options.device)
        names = self._embed_class_names()
        self.usual = names.mean(axis=0)
        self.names = names - self.usual

    def say(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The meaning of texts, relative to the usual thing's; shape (n, 384), length 1."""
        plain = [put_plainly(text) for text in texts]
        return _units(self.sentences.embed(plain, batch_size=self.batch) - self.usual)

    def see(
        self, images: Sequence[Image], sights: Sequence[Sight]
    ) -> tuple[NDArray[np.float32], Seen]:
        """The meaning of pictures, (n, 384), rows of length 1, and what else was seen."""
        seen = self.vision.see(images, sights, batch=self.batch)
        return _units(seen.posteriors @ self.names), seen

    def texture_of(self, patterns: Sequence[str]) -> NDArray[np.float32]:
        """The texture of the named patterns of `swatches`, (112,), length 1."""
        total = sum(self.textures[pattern] for pattern in patterns)
        return np.asarray(_units(np.asarray([total]))[0])

    @cached_property
    def textures(self) -> dict[str, NDArray[np.float32]]:
        """The pattern textures, seen when first asked for."""
        return self.vision.pattern_textures()

    def _embed_class_names(self) -> NDArray[np.float32]:
        """Each class as its names and, less, what it is a kind of, (1000, 384), length 1.

        A sweatshirt is a kind of pullover: shoppers say such words and the classes do not.
        """
        names, kinds = (self._embed_means(read_names(of)) for of in ("classes", "kinds"))
        return _units(names + KIND_SHARE * kinds)

    def _embed_means(self, names: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """The mean of each list of names, at length 1."""
        places = {name: at for at, name in enumerate({n for group in names for n in group})}
        vectors = self.sentences.embed(list(places), batch_size=64)
        means = [vectors[[places[name] for name in group]].mean(axis=0) for group in names]
        return _units(np.array(means))


def read_names(of: str) -> list[list[str]]:
    """Synonyms of each of ImageNet's 1,000 "classes", or of their "kinds", as the classifier goes.

    A class's kind is its hypernym in WordNet 3.0 (Fellbaum, 1998).
    """
    text = files(__package__).joinpath(f"data/imagenet1k_{of}.txt").read_text("utf-8")
    return [line.split("\t")[1].split(", ") for line in text.splitlines()]


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
