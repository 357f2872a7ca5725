"""Holding a model to a grammar while it generates. Imports torch."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from mmsearch_app.inference import ModelFailed
from mmsearch_app.rerankers.replies.grammar import SLACK, Grammar, GrammarState

__all__ = ["Constraint", "Vocabulary"]

KEPT = 4096
PLACED = 128


class Vocabulary:
    """What each token of a tokenizer writes, as bytes, sorted; built once a tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        pieces = dict(_read_pieces(tokenizer))
        self.pieces: dict[int, bytes] = pieces
        usable = sorted((p, i) for i, p in pieces.items() if 0 < len(p) <= SLACK)
        self._sorted = [piece for piece, _ in usable]
        self._ids = [token for _, token in usable]
        starts = [bisect_left(self._sorted, bytes([byte])) for byte in range(256)]
        self._ranges = list(zip(starts, [*starts[1:], len(usable)], strict=True))
        self._found: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._placed: OrderedDict[Hashable, Tensor] = OrderedDict()

    def allowed(self, grammar: Grammar, state: GrammarState) -> Tensor:
        """Ids after which what is written is still the beginning of a complete reply, int64."""
        settled = grammar.settle(state)

        def walk() -> Tensor:
            return torch.tensor(list(self._walk(grammar, settled)), dtype=torch.long)

        return _recall(self._found, grammar.name(settled), walk, most=KEPT)

    def allowed_of(self, scores: Tensor, grammar: Grammar, state: GrammarState) -> Tensor:
        """Those that `scores` (rows, vocabulary) have, on their device, where they are kept: a
        reason may go on with a megabyte of ids at each of its tokens."""
        name = (grammar.name(grammar.settle(state)), scores.shape[1], scores.device)

        def place() -> Tensor:
            found = self.allowed(grammar, state)
            return found[found < scores.shape[1]].to(scores.device)

        return _recall(self._placed, name, place, most=PLACED)

    def beginnings(self, word: str) -> list[int]:
        """Tokens that write the word with or without a space before it.

        Where no single token does, the one that writes the longest beginning of it.
        """
        for length in range(len(word.encode()), 0, -1):
            begun = word.encode()[:length]
            if found := [i for way in (begun, b" " + begun) for i in self._writing(way)]:
                return found
        return []

    def _writing(self, piece: bytes) -> Iterator[int]:
        place = bisect_left(self._sorted, piece)
        while place < len(self._sorted) and self._sorted[place] == piece:
            yield self._ids[place]
            place += 1

    def _walk(self, grammar: Grammar, state: GrammarState) -> Iterator[int]:
        for byte, (low, high) in enumerate(self._ranges):
            if low < high and (first := grammar.advance(state, byte)) is not None:
                yield from self._walk_range(grammar, [state, first], low, high)

    def _walk_range(
        self, grammar: Grammar, states: list[GrammarState], place: int, end: int
    ) -> Iterator[int]:
        """Sorted pieces of one first byte; `states[d]` is that after d bytes of `read`."""
        read = self._sorted[place][:1]
        while place < end:
            piece = self._sorted[place]
            depth = _common(read, piece)
            del states[depth + 1 :]
            for byte in piece[depth:]:
                following = grammar.advance(states[-1], byte)
                if following is None:
                    break
                states.append(following)
            read = piece[: len(states) - 1]
            if len(read) == len(piece):
                yield self._ids[place]
                place += 1
            else:  # nothing that begins like this is allowed
                refused = piece[: len(states)]
                place = bisect_left(self._sorted, _after(refused), place + 1, end)


class Constraint(LogitsProcessor):
    """Only tokens that keep a reply the beginning of a complete one; then only the end.

    Every row of a batch by itself, and after each token anew: rows may be reordered.
    """

    def __init__(self, grammar: Grammar, vocabulary: Vocabulary, stops: Sequence[int]) -> None:
        self.grammar = grammar
        self.vocabulary = vocabulary
        self.stops = torch.tensor(stops)
        self._begun: int | None = None
        self._states: dict[tuple[int, ...], GrammarState | None] = {(): grammar.start}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """`scores` (rows, vocabulary) with -inf for what is not allowed, finite otherwise."""
        if self._begun is None:
            self._begun = input_ids.shape[1]
        masked = torch.full_like(scores, -torch.inf)
        self.stops = self.stops.to(scores.device)
        for row, written in enumerate(input_ids[:, self._begun :].tolist()):
            allowed = self._allowed(tuple(written), scores)
            masked[row, allowed] = torch.nan_to_num(scores[row, allowed], nan=-1e4)
        return masked

    def _allowed(self, written: tuple[int, ...], scores: Tensor) -> Tensor:
        state = self._state(written)
        if state is None:
            return self.stops
        found = self.vocabulary.allowed_of(scores, self.grammar, state)
        if self.grammar.done(state):
            return torch.cat([found, self.stops])
        if not len(found):
            msg = "The model's tokenizer has no token that goes on with the reply."
            raise ValueError(msg)
        return found

    def _state(self, written: tuple[int, ...]) -> GrammarState | None:
        """None after the end, where a shorter row is filled up."""
        if written not in self._states:
            before = self._state(written[:-1])
            piece = self.vocabulary.pieces.get(written[-1])
            known = None not in (before, piece)
            self._states[written] = self.grammar.read(piece or b"", before) if known else None
        return self._states[written]


def _recall(
    kept: OrderedDict[Hashable, Tensor], name: Hashable, make: Callable[[], Tensor], *, most: int
) -> Tensor:
    """What is kept under that name, else what `make` makes; the longest unused goes."""
    if name not in kept:
        kept[name] = make()
        if len(kept) > most:
            kept.popitem(last=False)
    kept.move_to_end(name)
    return kept[name]


def _common(one: bytes, other: bytes) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


def _after(prefix: bytes) -> bytes:
    """The least byte string behind all that begin with the prefix."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else b"\xff" * (SLACK + 1)


def _read_pieces(tokenizer: Any) -> Iterable[tuple[int, bytes]]:
    """Token ids with what they write; control tokens write nothing and are left out."""
    if not hasattr(tokenizer, "backend_tokenizer"):
        msg = f"{type(tokenizer).__name__} is no fast tokenizer: the model needs a tokenizer.json."
        raise ModelFailed(msg)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    byte_level = "ByteLevel" in json.dumps([backend["decoder"], backend["pre_tokenizer"]])
    alphabet = _byte_alphabet()
    skipped = {token["id"] for token in backend["added_tokens"]} | set(tokenizer.all_special_ids)
    for token, number in tokenizer.get_vocab().items():
        if number in skipped:
            continue
        if byte_level:
            if all(letter in alphabet for letter in token):
                yield number, bytes(alphabet[letter] for letter in token)
        elif len(token) == 6 and token.startswith("<0x"):
            yield number, bytes([int(token[3:5], 16)])
        else:
            yield number, token.replace("\u2581", " ").encode()


def _byte_alphabet() -> dict[str, int]:
    """The letter that a byte-level tokenizer writes for each byte (GPT-2), turned round."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {chr(byte): byte for byte in plain}
    return letters | {chr(0x100 + place): byte for place, byte in enumerate(others)}
