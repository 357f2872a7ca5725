"""The tokens to which a grammar constrains a model while it generates."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.rerankers.replies.grammar import SLACK, Grammar, GrammarState

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KEPT = 4096
"""States whose allowed tokens are cached."""

_Kept = TypeVar("_Kept")


class Vocabulary:
    """What each token of a tokenizer writes, as sorted bytes; build it once per tokenizer.

    `tokenizer` is one of the library `tokenizers`. `control` are tokens that write nothing, beside
    those that it adds to its vocabulary.
    """

    def __init__(self, tokenizer: Tokenizer, *, control: Iterable[int] = ()) -> None:
        pieces = dict(_read_pieces(tokenizer, set(control)))
        self.pieces: dict[int, bytes] = pieces
        usable = sorted((p, i) for i, p in pieces.items() if 0 < len(p) <= SLACK)
        self._sorted = [piece for piece, _ in usable]
        self._ids = [token for _, token in usable]
        self._most = max(self._ids, default=-1)
        starts = [bisect_left(self._sorted, bytes([byte])) for byte in range(256)]
        self._ranges = list(zip(starts, [*starts[1:], len(usable)], strict=True))
        self._found: OrderedDict[Hashable, NDArray[np.int64]] = OrderedDict()

    def allowed(self, grammar: Grammar, state: GrammarState, *, size: int | None = None) -> Allowed:
        """The ids after which the text is still the beginning of a complete reply.

        `size` leaves out the ids from there on, which the model does not score.
        """
        settled = grammar.settle(state)

        def walk() -> NDArray[np.int64]:
            return np.fromiter(self._walk(grammar, settled), np.int64)

        name = grammar.name(settled)
        ids = remember(self._found, name, walk, most=KEPT)
        if size is not None and self._most >= size:
            ids = ids[ids < size]
        return Allowed((name, size), ids)

    def beginnings(self, word: str) -> list[int]:
        """Tokens that write the word with or without a space before it.

        If no single token does, those that write its longest beginning.
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
        """Walk sorted pieces with the same first byte; `states[d]` is the state after d bytes."""
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


class Allowed(NamedTuple):
    """The tokens that may follow a beginning of a reply."""

    name: Hashable
    """The same for the same ids of one model, for a cache of what is made of them."""
    ids: NDArray[np.int64]


class Tracker:
    """Knows which tokens go on with replies that are being written, and what ends them.

    Each reply is looked up from its start at every token: the rows of a batch may be reordered.
    `stops` are the tokens that may follow a complete reply.
    """

    def __init__(self, grammar: Grammar, vocabulary: Vocabulary, stops: Sequence[int]) -> None:
        self.grammar = grammar
        self.vocabulary = vocabulary
        self.stops = Allowed("end", np.array(stops, np.int64))
        self._states: dict[tuple[int, ...], GrammarState | None] = {(): grammar.start}

    def allowed(self, written: tuple[int, ...], *, size: int) -> Allowed:
        """The ids below `size`, the number of tokens that the model scores, to go on with.

        Raises ValueError if no token can go on with the reply.
        """
        state = self._state(written)
        if state is None:
            return self.stops
        found = self.vocabulary.allowed(self.grammar, state, size=size)
        if self.grammar.done(state):
            ids = np.concatenate([found.ids, self.stops.ids])
            return Allowed(("done", found.name), ids)
        if not len(found.ids):
            msg = "The model's tokenizer has no token that goes on with the reply."
            raise ValueError(msg)
        return found

    def _state(self, written: tuple[int, ...]) -> GrammarState | None:
        """The state after these ids; None behind a reply's end, where a shorter row is padded."""
        if written not in self._states:
            before = self._state(written[:-1])
            piece = self.vocabulary.pieces.get(written[-1])
            known = None not in (before, piece)
            self._states[written] = self.grammar.read(piece or b"", before) if known else None
        return self._states[written]


def remember(
    kept: OrderedDict[Hashable, _Kept], name: Hashable, make: Callable[[], _Kept], *, most: int
) -> _Kept:
    """What is cached under the name, else what `make` returns; the least recently used goes."""
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
    """The first byte string, in order, behind all that begin with the prefix."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else b"\xff" * (SLACK + 1)


def _read_pieces(tokenizer: Tokenizer, control: set[int]) -> Iterator[tuple[int, bytes]]:
    """Token ids and what they write; control tokens write nothing and are left out."""
    backend = json.loads(tokenizer.to_str())
    byte_level = "ByteLevel" in json.dumps([backend["decoder"], backend["pre_tokenizer"]])
    alphabet = _byte_alphabet()
    skipped = {token["id"] for token in backend["added_tokens"]} | control
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
    """The byte that each letter of a byte-level tokenizer (GPT-2) stands for."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {chr(byte): byte for byte in plain}
    return letters | {chr(0x100 + place): byte for place, byte in enumerate(others)}
