"""What a visitor asks and what is answered: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from django.db.models import Model
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["Answer", "Hit", "InvalidQuery", "Query", "SearchUnavailable"]


class InvalidQuery(ValueError):
    """The question cannot be answered as asked; the message is fit for the visitor.

    `field` names the part that is wrong: image, text, like, without, filters, limit or "".
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class SearchUnavailable(Exception):
    """The question is fine, but it cannot be answered now (index or model away)."""

    retry_after = 10
    """Seconds after which asking again makes sense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question, checked and with its picture opened.

    At least one of `text`, `image` and `like` is given; `image` wins over the picture of
    `like`, whose product is left out of the results all the same.
    """

    text: str = ""
    image: Image.Image | None = None
    """RGB, safe, upright, flattened."""
    like: Model | None = None
    """A product: its own picture is the question."""
    without: str = ""
    """Words for what is not wanted."""
    filters: Mapping[str, Any] = field(default_factory=dict)
    """Filter name, optionally with `__gt`, `__gte`, `__lt`, `__lte` or `__in`, to value."""
    limit: int = 24
    offset: int = 0
    rerank: bool = True
    user: Any = None
    vector: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """What the embedder made of it, where that is known already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One product found."""

    product: Model
    image: Model
    """The row of the source whose picture matched best (the product itself where the
    picture is a field of the product)."""
    score: float
    """Cosine similarity of stage 1, -1 to 1."""
    reason: str = ""
    """Why it is here: plain text written by a model; escape it."""
    title: str = ""
    url: str = ""
    """Where the product is sold: its `get_absolute_url()`, or ""."""
    image_url: str = ""
    source: str = ""
    """Name of the source that `image` is a row of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was found, in order, and how."""

    hits: tuple[Hit, ...] = ()
    ranked_by: Literal["index", "reranker"] = "index"
    judged: bool = False
    """Whether a reranker judged the first hits: even where its order counts for nothing, there
    is no better one to come."""
    reason: str = ""
    """Why the reranker put first what it put first; the hit that it is about carries it as well.
    Plain text written by a model; escape it."""
    caption: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds by stage: embed, search, rerank, total; of a late order hydrate, rerank,
    total."""
    notes: tuple[str, ...] = ()
    """What an operator or a curious visitor should know: fallbacks, repairs, limits."""
    query: Query | None = None
    more: bool = False
    """Whether a further page exists at `query.offset + len(hits)`."""
    no_good_match: bool = False
    """Whether even the best hit lies below the threshold `MIN_SCORE`."""
