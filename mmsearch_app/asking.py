"""From what a caller gives to a checked `Query`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import Model

from mmsearch_app import images
from mmsearch_app.conf import get_settings
from mmsearch_app.filters import parse
from mmsearch_app.query import InvalidQuery, Query
from mmsearch_app.sources import registry

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["build_query"]


def build_query(
    *,
    text: str | None = None,
    image: Any = None,
    like: Any = None,
    without: str | None = None,
    filters: Mapping[str, Any] | None = None,
    limit: int | None = None,
    rerank: bool = True,
    user: Any = None,
    offset: int = 0,
) -> Query:
    """Check what is asked and open the picture. Raises InvalidQuery."""
    query = Query(
        text=_words("text", text),
        image=_picture(image),
        like=_product(like, user),
        without=_words("without", without),
        filters=dict(filters or {}),
        limit=_number("limit", limit, get_settings().LIMIT, 1, get_settings().MAX_LIMIT),
        offset=_number("offset", offset, 0, 0, get_settings().MAX_OFFSET),
        rerank=rerank,
        user=user,
    )
    if not query.text and query.image is None and query.like is None:
        msg = "Give a picture, words, or a product to start from."
        raise InvalidQuery(msg)
    parse(query.filters)
    return query


def _words(name: str, value: str | None) -> str:
    words = " ".join((value or "").replace("\0", " ").split())
    words = words.encode(errors="replace").decode()  # half a character cannot be encoded
    most = get_settings().MAX_TEXT_LENGTH
    if len(words) > most:
        msg = f"At most {most} characters, please; these are {len(words)}."
        raise InvalidQuery(msg, field=name)
    return words


def _picture(value: Any) -> Image.Image | None:
    if value is None:
        return None
    if isinstance(value, str):
        msg = "A picture is given as bytes, a file or a PIL image, never as a path or address."
        raise InvalidQuery(msg, field="image")
    try:
        return images.open_image(value)
    except images.InvalidImage as error:
        raise InvalidQuery(str(error), field="image") from error


def _number(name: str, value: int | None, default: int, least: int, most: int) -> int:
    number = default if value is None else value
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        msg = f"{name} must be a whole number from {least} to {most}, not {number!r}."
        raise InvalidQuery(msg, field=name)
    return number


def _product(like: Any, user: Any) -> Model | None:
    """The product itself, or the first one of any product model with that primary key.

    With several product models, `app.model:pk` says which is meant. By key, only a product
    with a picture that `user` may see is found.
    """
    if like is None or like == "":
        return None
    if isinstance(like, Model):
        return like
    models = {model._meta.label_lower: model for model in registry.product_models()}
    label, _, pk = str(like).partition(":")
    wanted = [(models[label], pk)] if label in models else [(m, like) for m in models.values()]
    for model, key in wanted:
        found = _by_key(model, key)
        if found is not None and _is_visible(found, user):
            return found
    msg = f"There is no product {like!r} with a picture to start from."
    raise InvalidQuery(msg, field="like")


def _by_key(model: type[Model], key: Any) -> Model | None:
    try:
        return model._base_manager.filter(pk=model._meta.pk.to_python(key)).first()
    except (ValidationError, ValueError, TypeError, OverflowError, DataError):
        return None


def _is_visible(product: Model, user: Any) -> bool:
    sources = [source for source in registry if source.shows(product)]
    return any(s.visible_to(s.rows_of(product), user).exists() for s in sources)
