"""System checks: what is wrong with the settings and the sources, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.db.models import CharField, CompositePrimaryKey, FileField, Model, TextField

from mmsearch_app.backends import get_embedder, get_index, get_reranker
from mmsearch_app.conf import get_settings
from mmsearch_app.indexes import Operator
from mmsearch_app.models import Entry
from mmsearch_app.sources import ImageSource, find_model, is_kind_of, key_field, paths, registry

__all__ = ["register_checks"]

_LONGEST_KEY = 255
"""Of a primary key, as the ledger keeps it."""
_TAKEN = frozenset(
    ["text", "image", "like", "without", "limit", "rerank", "query", "offset", "page"]
)


def register_checks() -> None:
    """Called once at start-up."""
    register(check_settings)
    register(check_sources)
    register(check_database, Tags.database)


def check_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E001: MMSEARCH cannot be used. W001, W002: it can, but not as one may think."""
    try:
        get_settings()
        for build in (get_embedder, get_index, get_reranker):
            build()
    except ImproperlyConfigured as error:
        hint = "See the table of settings in the README."
        return [Error(str(error), hint=hint, id="mmsearch_app.E001")]
    return [*_check_cache(), *_check_thread()]


def _check_cache() -> Iterator[CheckMessage]:
    backend = settings.CACHES.get("default", {}).get("BACKEND", "")
    if not settings.DEBUG and backend.endswith(("LocMemCache", "DummyCache")):
        yield Warning(
            f"CACHES['default'] is {backend}: the next page and the late rerank of a search with "
            "a picture only work in the process that answered first.",
            hint="Use a cache that all processes share: Redis, Memcached, database or files.",
            id="mmsearch_app.W001",
        )


def _check_thread() -> Iterator[CheckMessage]:
    from mmsearch_app.indexes.memory import MemoryIndex

    if not get_index().shared and not get_settings().WORKER_THREAD:
        memory = isinstance(get_index(), MemoryIndex)
        yield Warning(
            "The index is in the memory of one process, and WORKER_THREAD is off: what a command "
            "indexes ends with the command, and the shop never sees it."
            if memory
            else "The index is a file that one process can open, and WORKER_THREAD is off: a "
            "worker command and the shop cannot use it at the same time.",
            hint="Set MMSEARCH['WORKER_THREAD'] = True with one serving process, or use a server.",
            id="mmsearch_app.W002",
        )


def check_sources(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E002 to E005, E007, E008: a source cannot work. W003, W005: none, or one without a net."""
    if not len(registry):
        hint = "Write a module mmsearch.py in an app and register an ImageSource there."
        return [Warning("No image source is registered.", hint=hint, id="mmsearch_app.W003")]
    return [message for source in registry for message in _check_source(source)]


def _check_source(source: ImageSource) -> Iterable[CheckMessage]:
    image = source.paths["@image"]
    if image.lookup is not None and not isinstance(image.field, FileField):
        yield Error(
            f"{source!r}: image = {source.image!r} is no ImageField or FileField.",
            hint="Name the path from a row to its file, such as 'original' or 'media.file'.",
            id="mmsearch_app.E002",
        )
    try:
        product = source.product_model
    except ImproperlyConfigured as error:
        hint = "Use a foreign key, or None where the row itself is the product."
        yield Error(str(error), hint=hint, id="mmsearch_app.E003")
        return
    if isinstance(source.model._meta.pk, CompositePrimaryKey) or isinstance(
        product._meta.pk, CompositePrimaryKey
    ):
        yield Error(
            f"{source!r}: composite primary keys are not supported.",
            hint="Give the model a single key.",
            id="mmsearch_app.E004",
        )
    else:
        yield from _check_key(source)
    yield from _check_paths(source)
    yield from _check_names(source)
    yield from _check_dependencies(source)


def _check_key(source: ImageSource) -> Iterator[CheckMessage]:
    field = key_field(source)
    if isinstance(field, CharField | TextField) and not 0 < (field.max_length or 0) <= _LONGEST_KEY:
        yield Error(
            f"{source!r}: its primary keys may be longer than {_LONGEST_KEY} characters.",
            hint="Limit them, or give the model another key: a longer one could not be saved.",
            id="mmsearch_app.E008",
        )
    if router.db_for_write(source.model) != router.db_for_write(Entry):
        yield Warning(
            f"{source!r}: its rows are in another database than the ledger. A save that is "
            "rolled back is marked all the same, and mmsearch_reconcile cannot compare the two.",
            hint="Route the models of mmsearch_app to the database of the shop's pictures.",
            id="mmsearch_app.W005",
        )


def _check_paths(source: ImageSource) -> Iterator[CheckMessage]:
    named = {"image": source.image, "title": source.title} | dict(source.filters)
    for name, dotted in named.items():
        if dotted and not _leads_somewhere(source.model, dotted):
            yield Error(
                f"{source!r}: the path {dotted!r} of {name!r} leads nowhere.",
                hint=f"{source.model._meta.label} has no such field, property or method.",
                id="mmsearch_app.E002",
            )


def _check_names(source: ImageSource) -> Iterator[CheckMessage]:
    for name in source.filters:
        first, _, last = name.rpartition("__")
        if name in _TAKEN:
            wrong = "the page and the API use that name."
        elif first and last in get_args(Operator):
            wrong = f"a question says __{last} for a comparison."
        elif not re.fullmatch(r"[\w-]+", name):
            wrong = "a name in an address has letters, digits, '_' and '-' only."
        else:
            continue
        yield Error(
            f"{source!r}: a filter cannot be called {name!r}: {wrong}",
            hint=f"Choose a plain name, and none of {', '.join(sorted(_TAKEN))}.",
            id="mmsearch_app.E007",
        )


def _leads_somewhere(model: Any, dotted: str) -> bool:
    for position, part in enumerate(parts := dotted.split(".")):
        if not hasattr(model, part) and paths.resolve(model, part).field is None:
            return False
        found = paths.resolve(model, ".".join(parts[: position + 1]).rpartition(".")[2])
        related = getattr(found.field, "related_model", None)
        if related is None:
            return True  # a value or a property: what follows cannot be known here
        model = related
    return True


def _check_dependencies(source: ImageSource) -> Iterator[CheckMessage]:
    for label, path in source.depends_on.items():
        if wrong := _find_fault(source.model, label, path):
            yield Error(
                f"{source!r}: depends_on[{label!r}] = {path!r}: {wrong}",
                hint="Name a model and the path from it to this source's rows, such as 'images'.",
                id="mmsearch_app.E005",
            )


def _find_fault(rows: type[Model], label: str, path: str) -> str:
    """Why the path leads from the model of that label to none of the `rows`, or ""."""
    try:
        found = paths.resolve(find_model(label), path).field
    except LookupError as error:
        return str(error)
    end = found.related_model if found is not None and found.is_relation else None
    if end is not None and (is_kind_of(end, rows) or is_kind_of(rows, end)):
        return ""
    return f"this path does not lead to rows of {rows._meta.label}."


def check_database(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """W004: SQLite without IMMEDIATE transactions."""
    return [
        Warning(
            f"DATABASES[{alias!r}] is SQLite without IMMEDIATE transactions: a worker beside the "
            "shop will meet 'database is locked'.",
            hint="Set DATABASES[...]['OPTIONS']['transaction_mode'] = 'IMMEDIATE'.",
            id="mmsearch_app.W004",
        )
        for alias in databases or []
        if settings.DATABASES[alias]["ENGINE"].endswith("sqlite3")
        and settings.DATABASES[alias].get("OPTIONS", {}).get("transaction_mode") != "IMMEDIATE"
    ]
