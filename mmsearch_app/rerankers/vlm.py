"""The protocol between the reranker and a vision-language model, wherever the model runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch_app.rerankers.replies.grammar import Grammar

PromptPart: TypeAlias = "str | Image.Image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One question to the model: a single turn of the user, after which the model answers."""

    parts: tuple[PromptPart, ...]
    """Words and RGB images in the order in which the model reads them. Words are plain text: an
    implementation makes sure that the model's control tokens in them have no effect."""
    system: str = ""
    """The system turn, for a model that was trained with one."""

    @property
    def images(self) -> tuple[Image.Image, ...]:
        return tuple(part for part in self.parts if not isinstance(part, str))


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a reply must look like: once for a chat server, once for a model in this process."""

    name: str
    """A word that a server wants as the name of the schema."""
    schema: Mapping[str, Any]
    """JSON schema: an object, every key required, no other key allowed."""
    grammar: Grammar
    """Accepts the complete replies and nothing else, as UTF-8 bytes with fixed spaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a model can be asked for. A mode refuses a model that lacks what it needs."""

    logits: bool
    """Whether `score` works."""
    constrained: bool
    """Whether a reply of `generate` with a `Form` is complete by construction. If not, the form
    may be ignored. The modes validate and repair every reply in any case."""
    max_images: int
    """Images in one prompt, at least 1; a mode that shows more draws a collage."""
    max_pixels: int | None = None
    """Width × height of one image; None: the model or its processor scales by itself. A model
    with a limit scales a larger image down itself; collages are drawn below the limit."""


@runtime_checkable
class VisionLanguageModel(Protocol):
    """A model that reads words and images. Called from several threads; guards itself.

    Constructing one is cheap: weights load, or the server is asked, at the first call.
    """

    @property
    def fingerprint(self) -> str:
        """Model, revision and every option that changes a reply."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do. Must not load weights; may ask a server once."""
        ...

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, form: Form | None = None
    ) -> list[str]:
        """Return one reply per prompt, without the prompt and without control tokens.

        A reply has at most `max_tokens` tokens and may be cut there. Raises ModelFailed.
        """
        ...

    def score(self, prompts: Sequence[Prompt], words: Sequence[str]) -> list[tuple[float, ...]]:
        """Return how likely the reply begins with each word, one row per prompt.

        The values of a row are logits or log-probabilities of the words' first tokens: only
        their differences mean something; -inf for a word that the model does not report. A
        word may stand with or without a space before it: the likelier way counts. Raises
        ModelFailed, and ValueError if two words begin with the same token.
        """
        ...

    def warm_up(self) -> None:
        """Download or connect, load, and answer once, so that the first visitor need not wait.

        Raises ModelFailed, or what loading raises (MissingWeights, InvalidWeights).
        """
        ...
