"""What visitors see of the shop's rows, whatever the shop's own code raises.

Every title, address and picture that a page, the API, the admin or a template tag shows is read
here. An error costs that one value, and is logged once in ten minutes for each source and hook.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import Error as DatabaseFault
from django.db.models import Model, QuerySet

from mmsearch_app.sources.querysets import fault_of, prefetch_also

if TYPE_CHECKING:
    from django.db.models.fields.files import FieldFile

    from mmsearch_app.sources.base import ImageSource

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_QUIET_SECONDS = 600.0
_logged: dict[tuple[str, str], float] = {}
"""When an error was last logged, by source and hook; in the seconds of `time.monotonic`."""


def forget_logged() -> None:
    """Log the next error of every hook again, as after a restart."""
    _logged.clear()


def read_safely(source: ImageSource, hook: str, read: Callable[[], _T], otherwise: _T) -> _T:
    """Return what `read` returns; if it raises, log the error of that hook, return `otherwise`."""
    try:
        return read()
    except Exception as error:  # the shop's own code and its storages raise anything
        _report(source, hook, error)
        return otherwise


def product_of(source: ImageSource, row: Model) -> Model | None:
    """Return the product that the row shows, or None."""
    return read_safely(source, "get_product", lambda: source.get_product(row), None)


def file_of(source: ImageSource, row: Model) -> FieldFile | None:
    """Return the row's image file, not opened, or None."""
    return read_safely(source, "get_file", lambda: source.get_file(row), None)


def title_of(source: ImageSource, row: Model | None, product: Model) -> str:
    """Return the row's title, else the product's name, else its model's name."""
    title = "" if row is None else _text(source, "get_title", source.get_title, row)
    return title or label_of(source, product)


def label_of(source: ImageSource, thing: Model) -> str:
    """Return `str(thing)`, or the name of its model if that fails."""
    name = str(thing._meta.verbose_name)
    return read_safely(source, "__str__", lambda: _encodable(thing), name)


def url_of(source: ImageSource, product: Model) -> str:
    """Return the address of the product's page, or ""."""
    return _text(source, "get_url", source.get_url, product)


def image_url_of(source: ImageSource, row: Model) -> str:
    """Return the address of the picture that cards show, or ""."""
    return _text(source, "get_image_url", source.get_image_url, row)


def image_srcset_of(source: ImageSource, row: Model) -> str:
    """Return the `srcset` of the picture that cards show, or ""."""
    return _text(source, "get_image_srcset", source.get_image_srcset, row)


def file_url_of(source: ImageSource, row: Model) -> str:
    """Return the address of the row's whole file, or ""."""

    def read(row: Model) -> str:
        file = source.get_file(row)
        return file.url if file else ""

    return _text(source, "url", read, row)


def stand_in_of(source: ImageSource, product: Model) -> Model | None:
    """Return the product whose pictures stand for this one, or None."""

    def find() -> Model | None:
        found = source.get_stand_in(product)
        if found is not None and not isinstance(found, Model):
            msg = f"get_stand_in must return a product or None, not {found!r}."
            raise TypeError(msg)
        return found

    return read_safely(source, "get_stand_in", find, None)


def visible_rows(
    source: ImageSource,
    *,
    user: Any,
    request: Any = None,
    narrow: Callable[[QuerySet[Any]], QuerySet[Any]] | None = None,
    filters: Collection[str] | None = (),
) -> QuerySet[Any]:
    """Return the source's rows that this visitor may see, set to fetch all that shows them.

    And the values of these `filters`; with None it is not set to fetch anything. `narrow` filters
    them before `visible_to` does. No rows at all if `get_queryset` or `visible_to` raises or
    returns no queryset of the source's model.
    """

    def find() -> QuerySet[Any]:
        rows = source.get_queryset()
        if filters is not None:
            rows = source.fetch(rows, filters=filters)
        rows = rows if narrow is None else narrow(rows)
        extra = {"request": request} if _takes_request(source.visible_to) else {}
        found = source.visible_to(rows, user, **extra)
        if wrong := fault_of(found, source.model):
            msg = f"visible_to returns what cannot be shown: {wrong}"
            raise TypeError(msg)
        return prefetch_also(found)

    hidden: QuerySet[Any] = source.model._base_manager.none()
    return read_safely(source, "get_queryset or visible_to", find, hidden)


def popular_rows(source: ImageSource, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return what the source shows of `rows` if nothing fits, or no rows."""
    return read_safely(source, "get_popular", lambda: source.get_popular(rows), rows.none())


@lru_cache(64)
def _takes_request(visible_to: Callable[..., Any]) -> bool:
    """Whether a shop's `visible_to` has the argument `request`, which older ones have not."""
    given = inspect.signature(visible_to).parameters.values()
    return any(p.name == "request" or p.kind is inspect.Parameter.VAR_KEYWORD for p in given)


def takes_visitor(source: ImageSource) -> bool:
    """Return whether `visible_to` can be called with a queryset and a user, and the request."""
    extra = {"request": None} if _takes_request(source.visible_to) else {}
    try:
        inspect.signature(source.visible_to).bind(None, None, **extra)
    except TypeError:
        return False
    return True


def load_rows(source: ImageSource, rows: QuerySet[Any]) -> list[Any]:
    """Return the rows as a list, or none if their own code raises while they are read.

    Errors of the database are raised: they are not the shop's code, and hide every product.
    """
    try:
        return list(rows)
    except DatabaseFault:
        raise
    except Exception as error:
        _report(source, "get_queryset", error)
        return []


def _text(source: ImageSource, hook: str, read: Callable[[Any], object], of: Model) -> str:
    """Return what `read` returns of a row or product as a text; "" if it raises."""
    try:
        return _encodable(read(of) or "")
    except Exception as error:  # as in `read_safely`, without two calls for every text of a page
        _report(source, hook, error)
        return ""


def _encodable(value: object) -> str:
    """Return the text, with what no page can contain replaced: half a character of UTF-16."""
    text = str(value)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def _report(source: ImageSource, hook: str, error: Exception) -> None:
    now = time.monotonic()
    key = (source.name, hook)
    if now - _logged.get(key, -_QUIET_SECONDS) >= _QUIET_SECONDS:
        _logged[key] = now
        log.error(
            "%r: %s failed; what it should show is left out. "
            "The next %d minutes of such errors are not logged.",
            source,
            hook,
            _QUIET_SECONDS / 60,
            exc_info=error,
        )
