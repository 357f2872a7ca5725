"""Turn a query into a vector."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from django.db.models import Model
from django.utils.translation import gettext
from numpy.typing import NDArray

from mmsearch_app import images
from mmsearch_app.backends import get_batcher, get_embedder, get_index
from mmsearch_app.conf import ImageCaps, get_settings
from mmsearch_app.embedders import check_vectors
from mmsearch_app.indexes import Generation
from mmsearch_app.inference import Content, Crowded
from mmsearch_app.searching.query import InvalidQuery, Query, SearchUnavailable, too_crowded
from mmsearch_app.searching.reference import Picture, pictures_of_reference
from mmsearch_app.searching.wishes import take_apart
from mmsearch_app.sources import ImageSource, entry_key, file_of, label_of, registry, title_of
from mmsearch_app.translation import in_english
from mmsearch_app.warming import loaded, model_state

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)


def query_vector(
    query: Query, generation: Generation
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return the query as one vector of length 1, shape (dimension,), and notes about it.

    For a product without words, the vectors that the index contains of its images are used, and
    no model runs. Unwanted words are subtracted, which ranks by `cos(x, wanted) - weight *
    cos(x, unwanted)`. Raises InvalidQuery if the product has no image, and SearchUnavailable if
    the embedder fails.
    """
    if query.vector is not None:
        return query.vector, ()
    vector = None
    if _is_stored(query):
        vector = _stored_vector(query, generation)
    contents = [query_content(query)] if vector is None else []
    if query.without:
        contents.append(Content(text=query.without))
    embedded = _embed(contents)
    if vector is None:
        vector = embedded[0]
    if query.without:
        vector = vector - get_settings().WITHOUT_WEIGHT * embedded[-1]
    return _unit(vector), tuple(_remark(query, contents))


def without_refused(query: Query) -> Query:
    """Return the query with what its words refuse among its unwanted words.

    Words that only refuse something stay as they are if nothing else is asked for.
    """
    if not get_settings().READ_NEGATIONS:
        return query
    wish = take_apart(query.text)
    if not wish.unwanted or not (wish.wanted or query.image or query.like):
        return query
    without = ", ".join(filter(None, [query.without, wish.unwanted]))
    return replace(query, text=wish.wanted, without=without)


def needs_model(query: Query) -> bool:
    """Return whether a model has to run, unless the index lacks the product's vectors."""
    return query.vector is None and (bool(query.without) or not _is_stored(query))


def _is_stored(query: Query) -> bool:
    """Return whether the query's vector, apart from unwanted words, may be in the index."""
    return query.like is not None and query.image is None and not query.text


def query_content(query: Query) -> Content:
    """Return what a model is shown of the query: its image, or the product's own, and its words.

    If the product has no readable image, its title is put before the words. Raises InvalidQuery
    if there are no words either.
    """
    if query.image is not None or query.like is None:
        return Content(image=query.image, text=query.text or None)
    pictures = pictures_of_reference(query)
    opened = (read_image(source, row) for source, row in pictures)
    image = next((image for image in opened if image is not None), None)
    if image is not None:
        return Content(image=image, text=query.text or None)
    if not query.text:
        msg = gettext("This product has no picture to start from; give words or a picture.")
        raise InvalidQuery(msg, field="like")
    return Content(text=f"{_title(query.like, pictures)} {query.text}")


def _remark(query: Query, contents: Sequence[Content]) -> Iterator[str]:
    """Yield notes about a product of the query whose own picture was not searched for."""
    if query.like is None:
        return
    if query.image is not None:
        yield gettext("The picture was searched for; the product is only left out of the results.")
        return
    if query.text and contents[0].image is None:
        yield gettext("The product has no picture that can be used: its title is searched for.")
    elif query.stand_in is not None:
        yield gettext("The product has no picture of its own: another product's stands for it.")


def _embed(contents: Sequence[Content]) -> NDArray[np.float32]:
    if not contents:
        return np.empty((0, 0), dtype=np.float32)
    require_loaded()
    try:
        vectors = np.asarray(get_batcher().embed_queries(contents), dtype=np.float32)
        check_vectors(vectors, len(contents), embedder=get_embedder())
    except Exception as error:
        log.exception("The embedder failed for a query")
        msg = gettext("The search is not available at the moment.")
        raise SearchUnavailable(msg) from error
    loaded("embedder")
    return vectors


def require_loaded() -> None:
    """Raise SearchUnavailable while the embedder is being loaded in the background."""
    embedder = model_state("embedder")
    if not embedder.retry_after:
        return
    if embedder.state == "loading":
        msg = gettext("The search is starting; please try again in a moment.")
    else:
        msg = gettext("The search is not available at the moment.")
    raise SearchUnavailable(msg, retry_after=embedder.retry_after)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    if length < 1e-6:
        msg = gettext("What is wanted and what is not wanted cancel each other out.")
        raise InvalidQuery(msg, field="without")
    return (vector / length).astype(np.float32)


def _title(product: Model, pictures: Sequence[Picture]) -> str:
    """Return the first title that the product's pictures have, else the product's name."""
    for source, row in pictures:
        return title_of(source, row, product)
    return label_of(registry.showing(product)[0], product)


def _stored_vector(query: Query, generation: Generation) -> NDArray[np.float32] | None:
    """Return the mean of the product's vectors in the index, or None if it contains none."""
    keys = [entry_key(source.name, row.pk) for source, row in pictures_of_reference(query)]
    stored = get_index().stored(keys, generation=generation.name) if keys else {}
    if not stored:
        return None
    mean: NDArray[np.float32] = np.mean([found.vector for found in stored.values()], axis=0)
    return mean if np.linalg.norm(mean) > 0 else None


def read_image(source: ImageSource, row: Model) -> Image | None:
    """Return the row's image for a model; None if there is none or it cannot be read.

    Raises Busy if too many other images are being decoded.
    """
    file = file_of(source, row)
    if file is None:
        return None
    settings = get_settings()
    caps: ImageCaps = {**settings.stored_caps, "max_wait": settings.MAX_WAIT_SECONDS}
    try:
        return images.open_image(file, **caps)
    except Crowded as error:
        raise too_crowded(error) from error
    except Exception as error:  # storages raise anything
        log.warning("The image %s of %r cannot be read: %s", file, row, in_english(error))
        return None
