"""The two models, loaded together: what images show, and what texts mean. Imports onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from django.utils.functional import cached_property
from numpy.typing import NDArray
from tokenizers import Tokenizer

from mmsearch_app.embedders.starter import weights
from mmsearch_app.embedders.starter.checkpoints import read_safetensors
from mmsearch_app.embedders.starter.kinds import read_names
from mmsearch_app.embedders.starter.known import Group, recall
from mmsearch_app.embedders.starter.networks import MOST_TOKENS, WIDTH, build_sentence_encoder
from mmsearch_app.embedders.starter.sessions import Session
from mmsearch_app.embedders.starter.vision import Seen, Vision, units
from mmsearch_app.embedders.starter.wording import put_plainly

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmsearch_app.embedders.starter.blocks import StarterOptions
    from mmsearch_app.embedders.starter.foreground import Sight

TOKENS_AT_ONCE: Final = 1024  # in one batch, with padding: more is no faster
MANY: Final = 16  # texts, after which the table is given back: each token keeps 64 kB around it
NAMED: Final = ("classes", "kinds")
KIND_SHARE: Final = 0.5  # weight of what a class is a kind of, beside its own names


class Models:
    """The classifier and the sentence encoder. Raises PartMissing if a file is not installed."""

    def __init__(self, options: StarterOptions) -> None:
        self.batch = options.batch_size
        self.vision = Vision(threads=options.threads)
        self.sentences = Sentences(threads=options.threads)
        names = self._embed_class_names()
        self.usual = names.mean(axis=0)
        self.names = names - self.usual
        self.towards = units(self.names)

    def say(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the meaning of texts less that of the average class; (n, 384), length 1."""
        plain = [put_plainly(text) for text in texts]
        return units(self.sentences.embed(plain) - self.usual)

    def see(
        self, images: Sequence[Image], sights: Sequence[Sight]
    ) -> tuple[NDArray[np.float32], Seen]:
        """Return the meaning of images, (n, 384), rows of length 1, and what else was seen."""
        seen = self.vision.see(images, sights, batch=self.batch)
        # Not by `@`, whose threads would wait in a loop: see `colours`.
        return units(np.einsum("ij,jk->ik", seen.posteriors, self.names)), seen

    def texture_of(self, patterns: Sequence[str]) -> NDArray[np.float32]:
        """Return the texture of the named patterns, (112,), length 1."""
        total = sum(self.textures[pattern] for pattern in patterns)
        return np.asarray(units(np.asarray([total]))[0])

    @cached_property
    def textures(self) -> dict[str, NDArray[np.float32]]:
        return self.vision.pattern_textures()

    def _embed_class_names(self) -> NDArray[np.float32]:
        """Embed each class as its names and, less, what it is a kind of; (1000, 384), length 1.

        A sweatshirt is a kind of pullover: shoppers use such words, but no class has that name.
        """
        names, kinds = (recall(read_names(of), self.sentences.embed_means) for of in NAMED)
        return units(names + KIND_SHARE * kinds)


class Sentences:
    """all-MiniLM-L6-v2, loaded from its pinned files. Raises PartMissing if they are missing."""

    def __init__(self, *, threads: int | None) -> None:
        self._tokenizer = Tokenizer.from_str(weights.TOKENIZER.read().decode())
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._tokenizer.no_padding()
        content = weights.SENTENCES.map()
        published = read_safetensors(content)
        self._words = published["embeddings.word_embeddings.weight"]
        self._give_back = partial(weights.give_back, content)
        network = build_sentence_encoder(published)
        self._session = Session(network, threads=threads, built=self._give_back)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the meaning of texts, shape (n, 384), rows of length 1."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        found = np.empty((len(tokens), WIDTH), np.float32)
        for batch in _batches([len(ids) for ids in tokens]):
            found[batch] = self._embed([tokens[place] for place in batch])
        if len(texts) > MANY:
            self._give_back()
        return found

    def embed_means(self, groups: Sequence[Group]) -> NDArray[np.float32]:
        """Return the mean of each group of texts, at length 1."""
        vectors = self.embed([text for group in groups for text in group])
        starts = np.cumsum([0, *map(len, groups[:-1])])
        return units(np.add.reduceat(vectors, starts))

    def _embed(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        lengths = np.array([len(ids) for ids in tokens])
        mask = np.arange(lengths.max()) < lengths[:, None]
        padded = np.zeros(mask.shape, np.int64)
        padded[mask] = np.concatenate(tokens)
        return self._session.run(words=self._words[padded], mask=mask)[0]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield places of texts of similar lengths that together fit `TOKENS_AT_ONCE`."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[place] > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
