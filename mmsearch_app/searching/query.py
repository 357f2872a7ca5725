"""A visitor's query and its answer, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from django.utils.translation import gettext
from numpy.typing import NDArray

from mmsearch_app.inference import Crowded

if TYPE_CHECKING:
    from django.db.models import Model
    from PIL import Image

    from mmsearch_app.searching.reference import Pictures


class InvalidQuery(ValueError):
    """The query cannot be answered as asked; the message is written for the visitor.

    `field` names the wrong part: image, text, like, without, filters, limit, or "".
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class SearchUnavailable(Exception):
    """The query is valid, but the index or the model is unavailable or busy."""

    retry_after = 10
    """Whole seconds to wait before trying again."""

    def __init__(self, message: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(message)
        if retry_after is not None:
            self.retry_after = retry_after


class Busy(SearchUnavailable):
    """All places are taken, and the wait would be too long."""

    retry_after = 5


_UNPICKLED = frozenset({"request", "pictures"})
"""Fields of a query that belong to one request."""


def too_crowded(error: Crowded) -> Busy:
    """Return the error for the visitor."""
    msg = gettext("Too many searches at the same time; please try again in a moment.")
    return Busy(msg, retry_after=error.retry_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A checked query with its image opened.

    At least one of `text`, `image` and `like` is set. If `image` and `like` both are, `image`
    is searched for; the product `like` is left out of the results either way.
    """

    text: str = ""
    image: Image.Image | None = None
    """RGB, safe, upright, flattened on white."""
    like: Model | None = None
    """A product whose own image is searched for."""
    stand_in: Model | None = None
    """The product whose images are searched for instead, if `like` has none of its own."""
    without: str = ""
    """Words for what is not wanted."""
    filters: Mapping[str, Any] = field(default_factory=dict)
    """Filter name, optionally with `__gt`, `__gte`, `__lt`, `__lte` or `__in`, to value."""
    limit: int = 24
    offset: int = 0
    rerank: bool = True
    user: Any = None
    request: Any = field(default=None, repr=False, compare=False)
    """The visitor's request, for the sources' `visible_to`; it is never cached or pickled."""
    vector: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """The query's embedding, if it is known already."""
    pictures: Pictures | None = field(default=None, repr=False, compare=False)
    """The pictures of the product, if they were looked up already; never pickled either."""

    def __getstate__(self) -> list[Any]:
        """Return what is pickled: every value but the request and the pictures."""
        return [None if one.name in _UNPICKLED else getattr(self, one.name) for one in fields(self)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One product found."""

    product: Model
    image: Model
    """The row of the source whose image matched best; the product itself if the image is a
    field of the product."""
    score: float
    """Cosine similarity in the index, -1 to 1."""
    reason: str = ""
    """Why it was found: plain text written by a model; escape it."""
    title: str = ""
    url: str = ""
    """Address of the product's page, as its source's `get_url` returns it, or ""."""
    image_url: str = ""
    """Address of the picture, as its source's `get_image_url` returns it, or ""."""
    image_srcset: str = ""
    """The same picture in several sizes, as its source's `get_image_srcset` returns it, or ""."""
    source: str = ""
    """Name of the source that `image` is a row of."""
    id: str = ""
    """Id of the image in the index, `source:pk`: no two hits of an answer have the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The hits in order, and how they were found."""

    hits: tuple[Hit, ...] = ()
    ranked_by: Literal["index", "reranker"] = "index"
    judged: bool = False
    """Whether a reranker has judged the first hits. If so, no better order is to come, even if
    the reranker's weight is 0 and the order is still that of the index."""
    reason: str = ""
    """Why the reranker put its first hit first; that hit has the same `reason`. Plain text
    written by a model; escape it."""
    caption: str = ""
    """What a model sees in the query's image; escape it."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds by stage: embed, search, rerank, total; for a late order hydrate, rerank,
    total."""
    notes: tuple[str, ...] = ()
    """Fallbacks, repairs and limits, for an operator or a curious visitor."""
    query: Query | None = None
    more: bool = False
    """Whether there is another page at `query.offset + len(hits)`."""
    no_good_match: bool = False
    """Whether even the best hit fits no better than nonsense would; see `MIN_SCORE`."""
    fallback: Literal["", "words", "picture", "popular", "nothing"] = ""
    """What the hits are instead, as the setting `NO_GOOD_MATCH` says: those of the words or of
    the picture alone, popular products, or none. "" if they are the closest ones."""
