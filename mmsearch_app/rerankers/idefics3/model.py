"""A loaded Idefics3 or SmolVLM on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsearch_app.inference import InvalidWeights, ModelFailed, match_marks, require_time
from mmsearch_app.rerankers.dialogue import Dialogue
from mmsearch_app.rerankers.idefics3.chat import ChatWriter, find_ids, read_tokenizer_file
from mmsearch_app.rerankers.idefics3.files import Idefics3Settings, find_graphs, read_settings
from mmsearch_app.rerankers.idefics3.network import Idefics3Network, Past, RuntimeOptions
from mmsearch_app.rerankers.idefics3.pictures import TileCutter
from mmsearch_app.rerankers.idefics3.seen import SeenImage, SeenImages
from mmsearch_app.rerankers.replies.constraints import Tracker
from mmsearch_app.rerankers.replies.grammar import Grammar
from mmsearch_app.rerankers.vlm import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPrompt:
    """A prompt and what the decoder made of it."""

    embeds: NDArray[np.float32]
    """(tokens, width)."""
    logits: NDArray[np.float32]
    """Of the reply's first token, (vocabulary)."""
    past: Past


class Idefics3Model:
    """Answers prompts one after the other, greedily. For one thread at a time.

    What the prompts of a call begin with alike is read once. `batch_size` tiles of an image go
    through the vision encoder together.
    """

    def __init__(
        self,
        network: Idefics3Network,
        writer: ChatWriter,
        cutter: TileCutter,
        dialogue: Dialogue,
        *,
        settings: Idefics3Settings,
        batch_size: int,
    ) -> None:
        self.network = network
        self.dialogue = dialogue
        self._writer = writer
        self._cutter = cutter
        self._settings = settings
        self._batch_size = batch_size
        self._seen = SeenImages()

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, grammar: Grammar | None
    ) -> list[str]:
        """Return one reply per prompt; with a grammar, complete unless `max_tokens` cuts it.

        Raises ModelFailed if the grace period after the deadline ends, or if a prompt is too long.
        """
        replies = []
        read: ReadPrompt | None = None
        for prompt in prompts:
            read = self._read(prompt, read)
            tracker = None if grammar is None else self.dialogue.track(grammar)
            ids = self._continue(read, self._find_room(read, max_tokens), tracker)
            replies.append(self.dialogue.read(ids, exactly=grammar is not None))
        return replies

    def score(self, prompts: Sequence[Prompt], words: Sequence[str]) -> list[tuple[float, ...]]:
        """Return the logits of each word as the beginning of the reply, one row per prompt.

        Raises ModelFailed as `generate` does, ValueError if two words begin with the same token.
        """
        tokens = self.dialogue.find_first_tokens(words)
        rows = []
        read: ReadPrompt | None = None
        for prompt in prompts:
            read = self._read(prompt, read)
            logits = read.logits
            rows.append(tuple(float(logits[ids].max()) for ids in tokens))
        return rows

    def prepare(self, prompt: Prompt) -> tuple[list[int], NDArray[np.float32]]:
        """Return the ids of a prompt, and their embeddings, (tokens, width), with its images."""
        seen = [self._seen.find(image.convert("RGB"), self._see) for image in prompt.images]
        ids = self._writer.write(self.dialogue.converse(prompt), [image.grid for image in seen])
        embeds = self.network.embed(ids)
        spots = np.array(ids) == self._settings.image_token
        tokens = [image.tokens for image in seen]
        count = sum(map(len, tokens))
        if int(spots.sum()) != count:
            msg = (
                f"The prompt has room for {int(spots.sum())} tokens of images, the vision encoder "
                f"makes {count}: the files belong to different models."
            )
            raise InvalidWeights(msg)
        if tokens:
            embeds = embeds.copy()
            embeds[spots] = np.concatenate(tokens)
        return ids, embeds

    def _read(self, prompt: Prompt, before: ReadPrompt | None) -> ReadPrompt:
        """Read a prompt, but not again what it begins with like the one before."""
        require_time()
        ids, embeds = self.prepare(prompt)
        limit = self._settings.limit
        if limit is not None and len(ids) >= limit:
            msg = (
                f"The prompt has {len(ids)} tokens, the model takes {limit} with its reply: show "
                "fewer candidates at once (`window`), or smaller images (`processing`)."
            )
            raise ModelFailed(msg)
        past = self.network.nothing
        if before is not None:
            same = _count_same(before.embeds[:-1], embeds[:-1])  # one is left to be read
            past = self.network.shorten(before.past, same)
        logits, past = self.network.read(embeds[past.length :], past)
        return ReadPrompt(embeds=embeds, logits=logits, past=past)

    def _find_room(self, read: ReadPrompt, max_tokens: int) -> int:
        limit = self._settings.limit
        return max_tokens if limit is None else min(max_tokens, limit - read.past.length)

    def _continue(self, read: ReadPrompt, room: int, tracker: Tracker | None) -> list[int]:
        """The ids of the reply, without the one that ends it."""
        logits, past = read.logits, read.past
        written: list[int] = []
        while len(written) < room:
            token = _choose(logits, tuple(written), tracker)
            if token in self.dialogue.stops:
                break
            written.append(token)
            if len(written) < room:
                logits, past = self.network.read(self.network.embed([token]), past)
        return written

    def _see(self, image: Image.Image) -> SeenImage:
        grid, pixels = self._cutter.cut(image)
        size = self._batch_size
        batches = [pixels[start : start + size] for start in range(0, len(pixels), size)]
        return SeenImage(grid, np.concatenate([self.network.see(batch) for batch in batches]))


def _choose(logits: NDArray[np.float32], written: tuple[int, ...], tracker: Tracker | None) -> int:
    """The likeliest token, of those that the grammar allows."""
    if tracker is None:
        return int(logits.argmax())
    allowed = tracker.allowed(written, size=len(logits)).ids
    return int(allowed[np.nan_to_num(logits[allowed], nan=-1e4).argmax()])


def _count_same(one: NDArray[np.float32], other: NDArray[np.float32]) -> int:
    """With how many equal rows both begin."""
    length = min(len(one), len(other))
    differ = (one[:length] != other[:length]).any(axis=1)
    return int(differ.argmax()) if differ.any() else length


def load_idefics3(
    folder: Path,
    *,
    names: Mapping[str, str],
    options: RuntimeOptions,
    processing: Mapping[str, Any],
    batch_size: int,
) -> Idefics3Model:
    """Load the model in a folder; `names` are the files of its parts (`files.name_files`).

    Raises MissingWeights, InvalidWeights, or ValueError for wrong options.
    """
    settings = read_settings(folder)
    graphs = find_graphs(folder, names)
    tokenizer = read_tokenizer_file(folder)
    writer = ChatWriter(tokenizer, settings)
    cutter = TileCutter(settings.pictures, changed=processing)
    network = Idefics3Network(graphs, options, text=settings.text)
    if network.side not in (None, cutter.side):
        msg = (
            f"Images are cut to {cutter.side} pixels (max_image_size), but the vision encoder "
            f"takes {network.side}."
        )
        raise InvalidWeights(msg)
    ends = find_ids(tokenizer, [settings.named.get("eos_token", "")])
    added = tokenizer.get_added_tokens_decoder().values()
    dialogue = Dialogue(
        tokenizer,
        stops=list(dict.fromkeys([*settings.stops, *ends])),
        marks=match_marks([*settings.named.values(), *(token.content for token in added)]),
        decode=lambda ids: tokenizer.decode(list(ids), skip_special_tokens=False),
        control=find_ids(tokenizer, settings.named.values()),
    )
    return Idefics3Model(
        network, writer, cutter, dialogue, settings=settings, batch_size=batch_size
    )
