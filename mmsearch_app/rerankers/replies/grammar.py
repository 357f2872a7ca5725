"""Replies that are complete whatever a model wants to say: small automata over bytes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

__all__ = ["Choice", "Grammar", "Permutation", "Segment", "Text", "exactly"]

GrammarState: TypeAlias = tuple[int, Any]
SLACK = 32
"""Bytes at the end of a text that are given up; no token of a reply is longer."""
_SECOND = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}
"""Second bytes of a character, where not all are allowed (RFC 3629)."""
_FORBIDDEN = frozenset({*range(0x20), 0x22, 0x5C, 0x7F})


class Segment(Protocol):
    """A stretch of a reply. Its states are hashable values; None is no state."""

    @property
    def start(self) -> Any:
        """The state before the first byte."""
        ...

    @property
    def longest(self) -> int:
        """Bytes of the longest way to write it."""
        ...

    def advance(self, state: Any, byte: int) -> Any:
        """The state after one more byte, None where no complete reply goes on like that."""
        ...

    def done(self, state: Any) -> bool:
        """Whether the segment may end here."""
        ...

    def settle(self, state: Any) -> Any:
        """An equivalent state for a whole token, so that many states share one answer."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several byte strings; the state is what is written of it."""

    options: tuple[bytes, ...]
    start: bytes = b""

    @property
    def longest(self) -> int:
        return max(map(len, self.options))

    def advance(self, state: bytes, byte: int) -> bytes | None:
        written = state + bytes([byte])
        return written if any(option.startswith(written) for option in self.options) else None

    def done(self, state: bytes) -> bool:
        return state in self.options

    def settle(self, state: bytes) -> bytes:
        return state


def exactly(text: str) -> Choice:
    """Exactly these words."""
    return Choice((text.encode(),))


@dataclass(frozen=True, slots=True)
class Permutation:
    """Every label exactly once, in any order: `"C", "A", "B"`. Labels are single letters.

    The state is the set of labels left, as bits, and the bytes that must come next.
    """

    labels: str

    @property
    def start(self) -> tuple[int, bytes]:
        return (1 << len(self.labels)) - 1, b'"'

    @property
    def longest(self) -> int:
        return 5 * len(self.labels) - 2

    def advance(self, state: tuple[int, bytes], byte: int) -> tuple[int, bytes] | None:
        left, due = state
        if due:
            return (left, due[1:]) if due[0] == byte else None
        place = self.labels.find(chr(byte))
        if place < 0 or not left >> place & 1:
            return None
        left ^= 1 << place
        return left, b'", "' if left else b'"'

    def done(self, state: tuple[int, bytes]) -> bool:
        return state == (0, b"")

    def settle(self, state: tuple[int, bytes]) -> tuple[int, bytes]:
        return state


@dataclass(frozen=True, slots=True)
class Text:
    """UTF-8 inside a JSON string, on one line, without quotation marks and backslashes.

    The state is how many bytes are left, how many more the character at hand needs, and its
    first byte where that narrows the second one.
    """

    limit: int

    @property
    def start(self) -> tuple[int, int, int]:
        return self.limit, 0, 0

    @property
    def longest(self) -> int:
        return self.limit

    def advance(self, state: tuple[int, int, int], byte: int) -> tuple[int, int, int] | None:
        left, needed, first = state
        if needed:
            low, high = _SECOND.get(first, (0x80, 0xBF))
            return (left - 1, needed - 1, 0) if low <= byte <= high else None
        more = _needed(byte)
        if more is None or more >= left:
            return None
        return left - 1, more, byte if byte in _SECOND else 0

    def done(self, state: tuple[int, int, int]) -> bool:
        return state[1] == 0

    def settle(self, state: tuple[int, int, int]) -> tuple[int, int, int]:
        """Near the limit the text must end; far from it, how far makes no difference."""
        left, needed, first = state
        if left >= SLACK:
            return SLACK, needed, first
        return state if needed else (0, 0, 0)


def _needed(first: int) -> int | None:
    """How many bytes a character has after its first one; None where none begins like that."""
    if first < 0x80:
        return None if first in _FORBIDDEN else 0
    if not 0xC2 <= first <= 0xF4:
        return None
    return 1 if first < 0xE0 else 2 if first < 0xF0 else 3


class Grammar:
    """Segments one after the other. Immutable; a state is a hashable value."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = tuple(segments)
        self.start: GrammarState = (0, self.segments[0].start)
        self.longest = sum(segment.longest for segment in self.segments)
        """Bytes of the longest reply, and so a bound for its tokens."""
        self._rests = [self.segments[place:] for place in range(len(self.segments))]

    def advance(self, state: GrammarState, byte: int) -> GrammarState | None:
        """The state after one more byte; None where no complete reply goes on like that."""
        place, inner = state
        following = self.segments[place].advance(inner, byte)
        while following is None:
            if not self.segments[place].done(inner) or place + 1 == len(self.segments):
                return None
            place += 1
            inner = self.segments[place].start
            following = self.segments[place].advance(inner, byte)
        return place, following

    def read(self, written: bytes, state: GrammarState | None = None) -> GrammarState | None:
        """The state after these bytes, from `state` or the start."""
        found = self.start if state is None else state
        for byte in written:
            following = self.advance(found, byte)
            if following is None:
                return None
            found = following
        return found

    def done(self, state: GrammarState) -> bool:
        """Whether what is written is a complete reply."""
        place, inner = state
        rest = self.segments[place + 1 :]
        return self.segments[place].done(inner) and all(s.done(s.start) for s in rest)

    def settle(self, state: GrammarState) -> GrammarState:
        """A state that allows the same tokens; one of few, so that the answer can be kept."""
        place, inner = state
        return place, self.segments[place].settle(inner)

    def name(self, state: GrammarState) -> Hashable:
        """What goes on from a state; grammars that end alike share their last states' names."""
        place, inner = state
        return self._rests[place], inner
