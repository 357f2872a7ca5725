"""Turn a query into a vector."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from django.db.models import Model
from django.utils.translation import gettext
from numpy.typing import NDArray

from mmsearch_app import images
from mmsearch_app.backends import get_batcher, get_composer, get_embedder, get_index
from mmsearch_app.conf import ImageCaps, get_settings
from mmsearch_app.embedders import Composer, DescribedImage, check_vectors, scale_for
from mmsearch_app.indexes import Generation
from mmsearch_app.inference import Content, Crowded, take_apart
from mmsearch_app.searching.cache import canonical_jpeg
from mmsearch_app.searching.index_time import asking_index
from mmsearch_app.searching.query import InvalidQuery, Query, SearchUnavailable, too_crowded
from mmsearch_app.searching.recent import recent_vectors
from mmsearch_app.searching.reference import Picture, known_of_reference, pictures_of_reference
from mmsearch_app.sources import ImageSource, entry_key, file_of, label_of, registry, title_of
from mmsearch_app.translation import in_english
from mmsearch_app.warming import loaded, model_state

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the model is asked for one vector, unless that is known from an earlier search."""

    name: str = ""
    """Under which the vector is kept; "" if it is not."""
    content: Content | None = None
    part: DescribedImage | None = None
    """Instead of a content: an image as the model described it, and the words."""
    vector: NDArray[np.float32] | None = None
    pictured: bool = False
    """Whether an image is part of it."""


def query_vector(
    query: Query, generation: Generation
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return the query as one vector of length 1, shape (dimension,), and notes about it.

    For a product without words, the vectors that the index contains of its images are used, and
    no model runs; nor does it for what this process was asked some minutes ago. Unwanted words are
    subtracted, which ranks by `cos(x, wanted) - weight * cos(x, unwanted)`. Raises InvalidQuery if
    the product has no image, and SearchUnavailable if the embedder fails.
    """
    if query.vector is not None:
        return query.vector, ()
    stored = _stored_vector(query, generation) if _is_stored(query) else None
    wanted = _Asked(vector=stored, pictured=True) if stored is not None else _ask_for(query)
    asked = [wanted, _ask_for_words(query.without)] if query.without else [wanted]
    vector, *unwanted = _embed(asked)
    if unwanted:
        vector = vector - get_settings().WITHOUT_WEIGHT * unwanted[0]
    return _unit(vector), tuple(_remark(query, pictured=wanted.pictured))


def _ask_for(query: Query) -> _Asked:
    """Return what is asked for the image, or the product's own, and the words."""
    if query.image is not None:
        digest = images.digest(canonical_jpeg(query.image))
        return _ask_for_picture(query.text, digest, lambda: query.image) or _Asked()
    if query.like is None:
        return _ask_for_words(query.text)
    pictures = pictures_of_reference(query)
    for (source, row), known in zip(pictures, known_of_reference(query), strict=True):
        digest = known.digest if known.current else ""
        if asked := _ask_for_picture(query.text, digest, partial(_read_for_model, source, row)):
            return asked
    return _ask_for_words(_titled(query, query.like, pictures))


def _ask_for_words(text: str) -> _Asked:
    name = _name(text)
    vector = recent_vectors.find(name)
    content = Content(text=text) if vector is None else None
    return _Asked(name=name, vector=vector, content=content)


def _ask_for_picture(text: str, digest: str, read: Callable[[], Image | None]) -> _Asked | None:
    """Return what is asked for an image and words, or None if the image cannot be read.

    It is read only if neither their vector nor the model's description of the image is known.
    """
    name = _name(text, digest) if digest else ""
    vector = recent_vectors.find(name)
    if vector is not None:
        return _Asked(name=name, vector=vector, pictured=True)
    composer = get_composer() if text else None
    if composer is None:
        image = read()
        if image is None:
            return None
        return _Asked(name=name, content=Content(image=image, text=text or None), pictured=True)
    described = _describe(composer, composer.aspect_of(text), digest, read)
    if described is None:
        return None
    return _Asked(name=name, part=(described, text), pictured=True)


def _describe(
    composer: Composer, aspect: str, digest: str, read: Callable[[], Image | None]
) -> NDArray[np.float32] | None:
    """Return the model's description of an image, kept under its digest; None if unreadable."""
    known_by = ("image", get_embedder().fingerprint, aspect, digest)
    name = recent_vectors.name(*known_by) if digest else ""
    described = recent_vectors.find(name)
    if described is None and (image := read()) is not None:
        described = _run(partial(composer.describe, image, aspect))
        if name:
            recent_vectors.keep(name, described)
    return described


def _name(text: str, digest: str = "") -> str:
    return recent_vectors.name("query", get_embedder().fingerprint, text, digest)


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
    return Content(text=_titled(query, query.like, pictures))


def _titled(query: Query, product: Model, pictures: Sequence[Picture]) -> str:
    """Return the product's title and the words. Raises InvalidQuery if there are no words."""
    if not query.text:
        msg = gettext("This product has no picture to start from; give words or a picture.")
        raise InvalidQuery(msg, field="like")
    return f"{_title(product, pictures)} {query.text}"


def _remark(query: Query, *, pictured: bool) -> Iterator[str]:
    """Yield notes about a product of the query whose own picture was not searched for."""
    if query.like is None:
        return
    if query.image is not None:
        yield gettext("The picture was searched for; the product is only left out of the results.")
        return
    if not pictured:
        yield gettext("The product has no picture that can be used: its title is searched for.")
    elif query.stand_in is not None:
        yield gettext("The product has no picture of its own: another product's stands for it.")


def _embed(asked: Sequence[_Asked]) -> list[NDArray[np.float32]]:
    """Return the vector of each, in order; keep those that a model has just made."""
    contents = [one.content for one in asked if one.content is not None]
    parts = [one.part for one in asked if one.part is not None]
    made = iter(_make(get_batcher().embed_queries, contents))
    composer = get_composer()
    composed = iter(_make(composer.compose, parts) if composer else ())
    return [_take(one, composed if one.part else made) for one in asked]


def _make(
    embed: Callable[[Sequence[_T]], NDArray[np.float32]], items: Sequence[_T]
) -> Sequence[NDArray[np.float32]]:
    """Return a vector of each item. Raises SearchUnavailable if the model fails."""

    def checked() -> NDArray[np.float32]:
        vectors = np.asarray(embed(items), dtype=np.float32)
        check_vectors(vectors, len(items), embedder=get_embedder())
        return vectors

    return [*_run(checked)] if items else []


def _take(asked: _Asked, made: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    if asked.vector is not None:
        return asked.vector
    vector = next(made)
    if asked.name:
        recent_vectors.keep(asked.name, vector)
    return vector


def _run(embed: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return what the model makes. Raises SearchUnavailable if it fails."""
    require_loaded()
    try:
        made = embed()
    except Exception as error:
        log.exception("The embedder failed for a query")
        msg = gettext("The search is not available at the moment.")
        raise SearchUnavailable(msg) from error
    loaded("embedder")
    return made


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
    if not keys:
        return None
    index = get_index()
    read = getattr(index, "recently_stored", index.stored)
    with asking_index():
        stored = read(keys, generation=generation.name)
    if not stored:
        return None
    mean: NDArray[np.float32] = np.mean([found.vector for found in stored.values()], axis=0)
    return mean if np.linalg.norm(mean) > 0 else None


def _read_for_model(source: ImageSource, row: Model) -> Image | None:
    """Return the row's image as it was opened for the index; None if it cannot be read."""
    return read_image(source, row, **scale_for(get_embedder()))


def read_image(source: ImageSource, row: Model, **scale: int) -> Image | None:
    """Return the row's image; None if there is none or it cannot be read.

    `scale` is as `open_image` takes it: how large the image is opened. Raises Busy if too many
    other images are being decoded.
    """
    file = file_of(source, row)
    if file is None:
        return None
    settings = get_settings()
    caps: ImageCaps = {**settings.stored_caps, "max_wait": settings.MAX_WAIT_SECONDS}
    try:
        return images.open_image(file, **caps, **scale)
    except Crowded as error:
        raise too_crowded(error) from error
    except Exception as error:  # storages raise anything
        log.warning("The image %s of %r cannot be read: %s", file, row, in_english(error))
        return None
