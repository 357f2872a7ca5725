"""From a query to its vector."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from django.db.models import Model
from django.utils.translation import gettext

from mmsearch_app import images
from mmsearch_app.backends import get_batcher, get_embedder, get_index
from mmsearch_app.conf import get_settings
from mmsearch_app.embedders import check_vectors
from mmsearch_app.indexes import Generation
from mmsearch_app.inference import Content
from mmsearch_app.searching.query import InvalidQuery, Query, SearchUnavailable
from mmsearch_app.sources import ImageSource, entry_key, registry
from mmsearch_app.translation import in_english

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["query_content", "query_vector"]

log = logging.getLogger(__name__)


def query_vector(query: Query, generation: Generation) -> NDArray[np.float32]:
    """The query as one vector of length 1, shape (dimension,).

    A product without words is asked by the vectors that the index holds of its pictures: no
    model runs. Unwanted words are subtracted, which ranks by `cos(x, wanted) - w cos(x,
    unwanted)`. Raises InvalidQuery when a product has no picture, SearchUnavailable when the
    embedder fails.
    """
    if query.vector is not None:
        return query.vector
    vector = None
    if query.like is not None and query.image is None and not query.text:
        vector = _stored(query.like, generation)
    wanted = [query_content(query)] if vector is None else []
    unwanted = [Content(text=query.without)] if query.without else []
    vectors = _embed([*wanted, *unwanted])
    if vector is None:
        vector = vectors[0]
    if unwanted:
        vector = vector - get_settings().WITHOUT_WEIGHT * vectors[-1]
    return _unit(vector)


def query_content(query: Query) -> Content:
    """What a model is shown of the query: the picture (given, or the product's own) and words.

    Of a product without a usable picture, its title stands before the words. Raises
    InvalidQuery where there are no words either.
    """
    if query.image is not None or query.like is None:
        return Content(image=query.image, text=query.text or None)
    image = _own_picture(query.like)
    if image is not None:
        return Content(image=image, text=query.text or None)
    if not query.text:
        msg = gettext("This product has no picture to start from; give words or a picture.")
        raise InvalidQuery(msg, field="like")
    return Content(text=f"{_title(query.like)} {query.text}")


def _embed(contents: Sequence[Content]) -> NDArray[np.float32]:
    if not contents:
        return np.empty((0, 0), dtype=np.float32)
    try:
        vectors = np.asarray(get_batcher().embed_queries(contents), dtype=np.float32)
        check_vectors(vectors, len(contents), embedder=get_embedder())
    except Exception as error:
        log.exception("The embedder failed for a query")
        msg = gettext("The search is not available at the moment.")
        raise SearchUnavailable(msg) from error
    return vectors


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    if length < 1e-6:
        msg = gettext("What is wanted and what is not wanted cancel each other out.")
        raise InvalidQuery(msg, field="without")
    return (vector / length).astype(np.float32)


def _rows(product: Model) -> Iterator[tuple[ImageSource, Model]]:
    for source, rows in registry.showing(product):
        yield from ((source, row) for row in rows)


def _stored(product: Model, generation: Generation) -> NDArray[np.float32] | None:
    """The mean of the product's vectors in the index; None where it holds none."""
    keys = [entry_key(source.name, row.pk) for source, row in _rows(product)]
    held = get_index().vectors(keys, generation=generation.name) if keys else {}
    if not held:
        return None
    mean: NDArray[np.float32] = np.mean(list(held.values()), axis=0)
    return mean if np.linalg.norm(mean) > 0 else None


def _own_picture(product: Model) -> Image | None:
    """The product's first usable picture."""
    for source, row in _rows(product):
        file = source.get_file(row)
        if file is None:
            continue
        try:
            return images.open_image(file, **get_settings().stored_caps)
        except Exception as error:  # storages raise anything; try the next one
            log.warning("%s of %r cannot be read: %s", file, product, in_english(error))
    return None


def _title(product: Model) -> str:
    titles = (source.get_title(row) for source, row in _rows(product))
    return next(filter(None, titles), str(product))
