"""What is said to a model in this process and what it replies, in the tokens of its tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mmsearch_app.inference import defuse
from mmsearch_app.rerankers.replies.constraints import Tracker, Vocabulary
from mmsearch_app.rerankers.replies.grammar import Grammar
from mmsearch_app.rerankers.replies.schemas import grades_form
from mmsearch_app.rerankers.replies.thoughts import find_answer
from mmsearch_app.rerankers.vlm import Prompt

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Dialogue:
    """Writes messages and reads replies, whatever runs the model. Not thread-safe.

    `stops` are the ids that end a reply, `control` further ids that write nothing. `marks` matches
    control tokens; `decode` returns the text of ids, control tokens included.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        stops: Sequence[int],
        marks: re.Pattern[str],
        decode: Callable[[Sequence[int]], str],
        control: Iterable[int] = (),
    ) -> None:
        self.vocabulary = Vocabulary(tokenizer, control=control)
        self.stops = tuple(stops)
        self._marks = marks
        self._decode = decode

    def converse(self, prompt: Prompt) -> list[dict[str, Any]]:
        """Return the messages of a prompt. Control tokens in its words are plain text."""
        parts = [
            self._say(part) if isinstance(part, str) else {"type": "image"} for part in prompt.parts
        ]
        user = {"role": "user", "content": parts}
        if not prompt.system:
            return [user]
        return [{"role": "system", "content": [self._say(prompt.system)]}, user]

    def track(self, grammar: Grammar) -> Tracker:
        """Return what constrains replies to the grammar."""
        return Tracker(grammar, self.vocabulary, self.stops)

    def find_first_tokens(self, words: Sequence[str]) -> list[list[int]]:
        """Return the tokens with which each word begins.

        Raises ValueError if two words begin with the same token.
        """
        tokens = [self.vocabulary.beginnings(word) for word in words]
        every = [token for ids in tokens for token in ids]
        if not all(tokens) or len(set(every)) < len(every):
            msg = f"The model's tokenizer cannot tell the words {', '.join(words)} apart."
            raise ValueError(msg)
        return tokens

    def read(self, ids: Sequence[int], *, exactly: bool) -> str:
        """Return the reply that the ids write.

        `exactly` returns every byte, as a grammar allowed them; otherwise thoughts before the
        answer are left out.
        """
        if not exactly:  # control tokens are needed to tell thoughts from the answer
            return self._marks.sub("", find_answer(self._decode(ids)))
        written = b"".join(self.vocabulary.pieces.get(token, b"") for token in ids)
        return written.decode("utf-8", "replace")

    def prepare(self) -> None:
        """Find the tokens that a reason may contain, which takes seconds."""
        grammar = grades_form(1).grammar
        if (state := grammar.read(b'{"A": 0, "reason": "')) is not None:
            self.vocabulary.allowed(grammar, state)

    def _say(self, words: str) -> dict[str, str]:
        return {"type": "text", "text": defuse(defuse(words), self._marks)}
