"""Check what a caller asks and turn it into a `Query`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import TextIOBase
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DataError
from django.db.models import Model
from django.db.models.fields.files import FieldFile
from django.utils.functional import Promise
from django.utils.translation import gettext
from PIL import Image

from mmsearch_app import images
from mmsearch_app.conf import get_settings
from mmsearch_app.inference import Crowded
from mmsearch_app.searching.filters import parse
from mmsearch_app.searching.query import InvalidQuery, Query, too_crowded
from mmsearch_app.searching.reference import Pictures, pictures_for, pictures_of_key
from mmsearch_app.sources import registry


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
    request: Any = None,
) -> Query:
    """Check the arguments of `search` and open the image. Raises InvalidQuery."""
    settings = get_settings()
    product, pictures = _product(like, user, request)
    pictured = pictures.product if pictures else None
    query = Query(
        text=_words("text", text),
        image=_image(image),
        like=product,
        stand_in=None if pictured == product else pictured,
        without=_words("without", without),
        filters=_filters(filters),
        limit=_number("limit", limit, default=settings.LIMIT, least=1, most=settings.MAX_LIMIT),
        offset=_number("offset", offset, default=0, least=0, most=settings.MAX_OFFSET),
        rerank=rerank,
        user=user,
        request=request,
        pictures=pictures,
    )
    if not query.text and query.image is None and query.like is None:
        msg = gettext("Give a picture, words, or a product to start from.")
        raise InvalidQuery(msg)
    parse(query.filters)
    return query


def _words(name: str, value: str | None) -> str:
    if value is not None and not isinstance(value, str | Promise):
        msg = gettext("%(name)s takes words, not %(value)r.") % {"name": name, "value": value}
        raise InvalidQuery(msg, field=name)
    words = " ".join(str(value or "").replace("\0", " ").split())
    words = words.encode(errors="replace").decode()  # a lone surrogate cannot be encoded
    most = get_settings().MAX_TEXT_LENGTH
    if len(words) > most:
        msg = gettext("At most %(most)d characters, please; these are %(count)d.")
        msg %= {"most": most, "count": len(words)}
        raise InvalidQuery(msg, field=name)
    return words


def _image(value: Any) -> Image.Image | None:
    if value is None:
        return None
    if not _is_image(value):
        msg = gettext(
            "A picture is given as bytes, a file or a PIL image, never as a path or address."
        )
        raise InvalidQuery(msg, field="image")
    try:
        return open_upload(value)
    except images.InvalidImage as error:
        raise InvalidQuery(str(error), field="image") from error


def open_upload(source: Any) -> Image.Image:
    """Open a visitor's image. Raises InvalidImage, and SearchUnavailable if others are opened."""
    try:
        return images.open_image(source, **get_settings().upload_caps)
    except Crowded as error:
        raise too_crowded(error) from error


def _is_image(value: Any) -> bool:
    if isinstance(value, FieldFile):
        return bool(value)
    if isinstance(value, bytes | bytearray | memoryview | Image.Image):
        return True
    return hasattr(value, "read") and not isinstance(value, TextIOBase)


def _filters(value: Mapping[str, Any] | None) -> dict[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        msg = gettext("Filters are given as a mapping of names to values, not as %(value)r.")
        raise InvalidQuery(msg % {"value": value}, field="filters")
    return {str(name): wanted for name, wanted in (value or {}).items()}


def _number(name: str, value: int | None, *, default: int, least: int, most: int) -> int:
    number = default if value is None else value
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        msg = gettext(
            "%(name)s must be a whole number from %(least)d to %(most)d, not %(number)r."
        ) % {"name": name, "least": least, "most": most, "number": number}
        raise InvalidQuery(msg, field=name)
    return number


def _product(like: Any, user: Any, request: Any) -> tuple[Model | None, Pictures | None]:
    """Return the product that `like` is or names, and the pictures that are searched for.

    They are its own, a stand-in's, or None if neither has any. A product found by its key must
    have some that `user` may see. Raises InvalidQuery.
    """
    if like is None or like == "":
        return None, None
    if isinstance(like, Model):
        _require_product(like)
        return like, pictures_for(like, user=user, request=request)
    for model, key in _named_by(like):
        if pictures := pictures_of_key(model, key, user=user, request=request):
            return pictures.product, pictures
        product = _by_key(model, key)
        if product and (found := pictures_for(product, user=user, request=request, bare=True)):
            return product, found
    msg = gettext("This product is not available, or has no picture to start from.")
    raise InvalidQuery(msg, field="like")


def _require_product(thing: Model) -> None:
    if not registry.keys_of(thing):
        labels = ", ".join(model._meta.label for model in registry.product_models())
        msg = gettext("%(name)s takes a product (%(labels)s) or its key, not %(model)s.")
        msg %= {"name": "like", "labels": labels, "model": thing._meta.label}
        raise InvalidQuery(msg, field="like")


def find_products(key: Any) -> Iterator[Model]:
    """Find the products with a primary key, at most one per product model, public or not.

    `app.model:pk` limits the search to one model.
    """
    for model, pk in _named_by(key):
        found = _by_key(model, pk)
        if found is not None:
            yield found


def _named_by(key: Any) -> Iterator[tuple[type[Model], Any]]:
    """Yield each product model that the key may be of, with the primary key that it then is."""
    models = {model._meta.label_lower: model for model in registry.product_models()}
    label, _, pk = str(key).partition(":")
    wanted = [(models[label], pk)] if label in models else [(m, key) for m in models.values()]
    for model, value in wanted:
        found = _as_key(model, value)
        if found is not None:
            yield model, found


def _as_key(model: type[Model], value: Any) -> Any:
    """Return the value as a primary key of the model, or None if it can be none."""
    field: Any = model._meta.pk
    while field.remote_field:  # of a model that inherits from another one
        field = field.target_field
    try:
        found = field.to_python(value)
        if isinstance(found, int):
            field.run_validators(found)  # whether it fits the column
        text = str(found).encode()
    except (ValidationError, ValueError, TypeError, OverflowError):
        return None
    return None if b"\0" in text else found  # PostgreSQL refuses such texts


def _by_key(model: type[Model], pk: Any) -> Model | None:
    try:
        return model._base_manager.get(pk=pk)
    except (ObjectDoesNotExist, ValueError, TypeError, OverflowError, DataError):
        return None
