"""Both models, loaded together; importing this module imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import torch

from mmsearch_app.embedders.starter.sentences import Sentences
from mmsearch_app.embedders.starter.vision import Seen, Vision

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from mmsearch_app.embedders.starter.foreground import Sight
    from mmsearch_app.embedders.starter.options import Options

__all__ = ["Models", "read_class_names"]


class Models:
    """What pictures show, and what words mean. Raises PartMissing."""

    def __init__(self, options: Options) -> None:
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
        return _units(self.sentences.embed(texts, batch_size=self.batch) - self.usual)

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
        """Each class as the mean of its synonyms, (1000, 384), length 1."""
        synonyms = [names.split(", ") for names in read_class_names()]
        vectors = self.sentences.embed(
            [name for names in synonyms for name in names], batch_size=64
        )
        counts = [len(names) for names in synonyms]
        starts = np.cumsum([0, *counts[:-1]])
        return _units(np.add.reduceat(vectors, starts, axis=0))


def read_class_names() -> list[str]:
    """The 1,000 class names in the classifier's order, synonyms separated by commas."""
    text = files(__package__).joinpath("data/imagenet1k_classes.txt").read_text("utf-8")
    return [line.split("\t")[1] for line in text.splitlines()]


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
