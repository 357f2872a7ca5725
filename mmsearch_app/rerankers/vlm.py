"""What a mode of asking needs of a vision-language model, wherever the model runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch_app.rerankers.replies.grammar import Grammar

__all__ = ["Capabilities", "Form", "Prompt", "PromptPart", "VisionLanguageModel"]

PromptPart: TypeAlias = "str | Image.Image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One question to the model: a single turn of the user, after which the model answers."""

    parts: tuple[PromptPart, ...]
    """Words and RGB pictures in the order in which the model reads them. Words are plain: a
    model's own control tokens in them mean nothing and an implementation sees to that."""
    system: str = ""
    """Who the model is to be; only where a model was trained with a system turn."""

    @property
    def pictures(self) -> tuple[Image.Image, ...]:
        """The pictures alone, in order."""
        return tuple(part for part in self.parts if not isinstance(part, str))


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a reply must look like, said twice: for a chat server and for this process."""

    name: str
    """A word that a server wants as the name of the schema."""
    schema: Mapping[str, Any]
    """JSON schema: an object, every key required, nothing else allowed."""
    grammar: Grammar
    """Accepts exactly the complete replies, written in one way, as UTF-8 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a model can be asked for. A mode refuses a model that lacks what it needs."""

    logits: bool
    """Whether `score` answers."""
    constrained: bool
    """Whether a reply of `generate` with a `Form` is complete by construction. If not, the
    form is at most a wish: whoever reads the reply validates and repairs it (which the modes
    do in any case)."""
    max_images: int
    """Pictures in one prompt, at least 1; a mode that shows more draws a collage."""
    max_pixels: int | None = None
    """Width × height of one picture; None: the model or its processor scales by itself. A
    model that has a limit scales a larger picture down by itself; a mode lays out collages
    below it."""


@runtime_checkable
class VisionLanguageModel(Protocol):
    """A model that reads words and pictures. Called from several threads; guards itself.

    Constructing one is cheap: weights load, or the server is asked, at the first call.
    """

    @property
    def fingerprint(self) -> str:
        """Model and revision and all options that change a reply."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; asking for it may not load weights, but may ask a server once."""
        ...

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, form: Form | None = None
    ) -> list[str]:
        """One reply a prompt, without the prompt and without control tokens.

        A reply has at most `max_tokens` tokens and may be cut there. Raises ModelFailed.
        """
        ...

    def score(self, prompts: Sequence[Prompt], words: Sequence[str]) -> list[tuple[float, ...]]:
        """How much the model wants to begin its reply with each word, one row a prompt.

        The values of a row are logits or log-probabilities of the words' first tokens: only
        their differences mean something; -inf for a word that the model does not report. A
        word may stand with or without a space before it: the likelier way counts. Raises
        ModelFailed, and ValueError when two words begin with the same token.
        """
        ...

    def warm_up(self) -> None:
        """Download or connect, load, and answer once, so that the first visitor need not wait.

        Raises ModelFailed, or what loading raises (MissingWeights, InvalidWeights).
        """
        ...
