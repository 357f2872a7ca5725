"""System checks of the settings, the sources and the database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, get_args

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseFault
from django.db import router
from django.db.models import CharField, CompositePrimaryKey, FileField, Model, TextField
from django.urls import (
    NoReverseMatch,
    Resolver404,
    ResolverMatch,
    get_resolver,
    get_script_prefix,
    resolve,
    reverse,
)

from mmsearch_app.backends import get_embedder, get_index, get_reranker
from mmsearch_app.conf import get_settings, is_replaced_for_tests
from mmsearch_app.indexes import Operator
from mmsearch_app.models import Entry
from mmsearch_app.sources import (
    ADDRESSES,
    TYPES,
    ImageSource,
    explain_empty,
    fault_of,
    find_model,
    is_kind_of,
    key_field,
    paths,
    registry,
    specs,
    takes_visitor,
)

__all__ = ["register_checks"]

_LONGEST_KEY = 255
"""Most characters of a primary key in the ledger."""
_TAKEN = frozenset(
    ["text", "image", "like", "without", "limit", "rerank", "query", "offset", "page"]
)


_ROUTES = {"mmsearch:search": "the search page", "mmsearch_api:search": "the API"}


def register_checks() -> None:
    register(check_settings)
    register(check_sources)
    register(check_urls, Tags.urls)
    register(check_database, Tags.database)


def check_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E001: MMSEARCH is invalid. W001, W002: several processes cannot share what they must."""
    try:
        get_settings()
        for build in (get_embedder, get_index, get_reranker):
            build()
    except ImproperlyConfigured as error:
        hint = "Correct this value of MMSEARCH; see the documentation's page of settings."
        return [Error(str(error), hint=hint, id="mmsearch_app.E001")]
    if is_replaced_for_tests():
        return []  # one process needs to share nothing
    return [*_check_cache(), *_check_thread()]


def _check_cache() -> Iterator[CheckMessage]:
    backend = settings.CACHES.get("default", {}).get("BACKEND", "")
    if not settings.DEBUG and backend.endswith(("LocMemCache", "DummyCache")):
        yield Warning(
            f"CACHES['default'] is {backend}: the next page and the late rerank of a search with "
            "an image only work in the process that answered the search.",
            hint="Use a cache that all processes share: Redis, Memcached, database or files.",
            id="mmsearch_app.W001",
        )


def _check_thread() -> Iterator[CheckMessage]:
    from mmsearch_app.indexes.memory import MemoryIndex

    if not get_index().shared and not get_settings().WORKER_THREAD:
        memory = isinstance(get_index(), MemoryIndex)
        yield Warning(
            "The index is in the memory of one process, and WORKER_THREAD is off: what a command "
            "indexes is lost when the command ends, and the shop never sees it."
            if memory
            else "The index is a file that one process can open, and WORKER_THREAD is off: a "
            "worker command and the shop cannot use it at the same time.",
            hint="Set MMSEARCH['WORKER_THREAD'] = True and serve from one process, or use a Milvus "
            "server.",
            id="mmsearch_app.W002",
        )


def check_sources(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E002 to E005, E007 to E009, E020, E021: a source is invalid. W003: there is none."""
    if not len(registry):
        hint = "Write a module mmsearch.py in an app and register an ImageSource there."
        return [Warning(explain_empty(), hint=hint, id="mmsearch_app.W003")]
    messages = [message for source in registry for message in _check_source(source)]
    return [*messages, *_check_filters_of_several()]


def _check_source(source: ImageSource) -> Iterable[CheckMessage]:
    image = source.paths["@image"]
    if image.lookup is not None and not isinstance(image.field, FileField):
        yield Error(
            f"{source!r}: image = {source.image!r} is not an ImageField or FileField.",
            hint="Name the path from a row to its file, such as 'original' or 'media.file'.",
            id="mmsearch_app.E002",
        )
    try:
        product = source.product_model
    except ImproperlyConfigured as error:
        hint = "Use foreign keys, or None if the row itself is the product."
        yield Error(str(error), hint=hint, id="mmsearch_app.E003")
        return
    if isinstance(source.model._meta.pk, CompositePrimaryKey) or isinstance(
        product._meta.pk, CompositePrimaryKey
    ):
        yield Error(
            f"{source!r}: composite primary keys are not supported.",
            hint="Give the model a primary key of one field.",
            id="mmsearch_app.E004",
        )
    else:
        yield from _check_key(source)
    yield from _check_paths(source)
    yield from _check_names(source)
    yield from _check_filters(source)
    yield from _check_dependencies(source)
    yield from _check_routes(source)
    yield from _check_hooks(source)


def _check_key(source: ImageSource) -> Iterator[CheckMessage]:
    field = key_field(source)
    if isinstance(field, CharField | TextField) and not 0 < (field.max_length or 0) <= _LONGEST_KEY:
        yield Error(
            f"{source!r}: its primary keys may be longer than {_LONGEST_KEY} characters.",
            hint="Set a max_length, or use another primary key: a longer key could not be saved.",
            id="mmsearch_app.E008",
        )


def _check_hooks(source: ImageSource) -> Iterator[CheckMessage]:
    if wrong := _fault_of_rows(source):
        yield Error(
            f"{source!r}: get_queryset returns what cannot be indexed: {wrong}",
            hint="Return a queryset of the model, narrowed with filter() and exclude().",
            id="mmsearch_app.E022",
        )
    if not takes_visitor(source):
        yield Error(
            f"{source!r}: visible_to cannot be called with a queryset, a user and a request.",
            hint="Write it as visible_to(self, queryset, user, request=None).",
            id="mmsearch_app.E023",
        )
    own = type(source).get_url is not ImageSource.get_url
    if not own and not any(hasattr(source.product_model, name) for name in ADDRESSES):
        yield Warning(
            f"{source!r}: {source.product_model._meta.label} has neither get_absolute_url() nor "
            "url: found products are shown without a link.",
            hint="Write get_url(self, product) in the source, or get_absolute_url() in the model.",
            id="mmsearch_app.W022",
        )


def _fault_of_rows(source: ImageSource) -> str:
    """Return what is wrong with `get_queryset`, or ""; nothing is read from the database."""
    try:
        return fault_of(source.get_queryset(), source.model)
    except DatabaseFault:  # it reads something first, and the tables may not exist yet
        return ""
    except Exception as error:  # the shop's own code may raise anything
        return f"it raises {type(error).__name__}: {error}"


def check_urls(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """W023: another pattern of the shop answers at the address of the search page or the API."""
    return [
        Warning(
            f"{address} is the address of {what}, but {wrong}.",
            hint="Include it under a path that no other pattern matches, or before that pattern: "
            'path("find/", include("mmsearch_app.urls")).',
            id="mmsearch_app.W023",
        )
        for name, what in _ROUTES.items()
        for address, wrong in _find_other_view(name)
    ]


def _find_other_view(name: str) -> Iterator[tuple[str, str]]:
    """Yield the address of that name, and what is wrong: the other view there."""
    try:
        address = reverse(name)
        path = address.removeprefix(get_script_prefix())
        first = resolve(f"/{path}")
    except (NoReverseMatch, Resolver404, ImproperlyConfigured, ImportError):
        return  # not included, by host, or reported by Django's own checks
    if not _is_ours(first, name):
        yield address, f"{_name_view(first)} answers there"
        return
    for match in _matches(path):
        # A pattern for every address may come last; one for this very address never answers.
        if match.route.strip("^$") == path and not _is_ours(match, name):
            yield address, f"{_name_view(match)}, at the same address, never answers there"


def _matches(path: str) -> Iterator[ResolverMatch]:
    for pattern in get_resolver().url_patterns:
        with suppress(Resolver404):
            if match := pattern.resolve(path):
                yield match


def _is_ours(match: ResolverMatch, name: str) -> bool:
    """Return whether a route leads to the view of that name or to a shop's subclass of it."""
    view = getattr(match.func, "view_class", None) or getattr(match.func, "cls", None)
    bases = view.__mro__ if isinstance(view, type) else ()
    package = __name__.partition(".")[0]
    return match.view_name == name or any(
        base.__module__.partition(".")[0] == package for base in bases
    )


def _name_view(match: ResolverMatch) -> str:
    return match.view_name or match._func_path


def _check_paths(source: ImageSource) -> Iterator[CheckMessage]:
    named = [("image", source.image), ("title", source.title or "")]
    for name, spec in source.filter_specs.items():
        named += [(name, path.dotted) for path in spec.paths]
    for name, dotted in named:
        if dotted and not _leads_somewhere(source.model, dotted):
            yield Error(
                f"{source!r}: the path {dotted!r} of {name!r} leads nowhere.",
                hint=f"{source.model._meta.label} has no such field, property or method that only "
                "reads.",
                id="mmsearch_app.E002",
            )


def _check_names(source: ImageSource) -> Iterator[CheckMessage]:
    for name in source.filters:
        first, _, last = name.rpartition("__")
        if name in _TAKEN:
            wrong = "the page and the API use this name."
        elif first and last in get_args(Operator):
            wrong = f"a query writes comparisons with __{last}."
        elif not re.fullmatch(r"[\w-]+", name):
            wrong = "a name may contain only letters, digits, '_' and '-'."
        else:
            continue
        yield Error(
            f"{source!r}: a filter cannot be called {name!r}: {wrong}",
            hint=f"Choose a plain name other than {', '.join(sorted(_TAKEN))}.",
            id="mmsearch_app.E007",
        )


def _check_filters(source: ImageSource) -> Iterator[CheckMessage]:
    for name, spec in source.filter_specs.items():
        fault = spec.fault
        if not (spec.paths or spec.using or source.overrides_filters):
            fault = fault or "it has no path, and get_filters is not overridden"
        if fault and all(_leads_somewhere(source.model, path.dotted) for path in spec.paths):
            given = ", ".join(repr(path.dotted) for path in spec.paths) or "'product.price'"
            yield Error(
                f"{source!r}: the filter {name!r} cannot be used: {fault}.",
                hint="A filter is a path to a field, a list of paths, or a Filter with the type: "
                f"Filter({given}, type=str), where type is one of {TYPES}.",
                id="mmsearch_app.E020",
            )


def _check_filters_of_several() -> Iterator[CheckMessage]:
    """Yield an error for each source whose filter is of another type than the first's."""
    for source in registry:
        for name, spec in source.filter_specs.items():
            if spec.kind != (first := specs()[name].kind):
                yield Error(
                    f"{source!r}: the filter {name!r} has values of the kind {spec.kind!r}, but "
                    f"those of another source are of the kind {first!r}.",
                    hint="Give one of the two filters another name, or both the same type.",
                    id="mmsearch_app.E021",
                )


def _leads_somewhere(model: Any, dotted: str) -> bool:
    for part in dotted.split("."):
        field = paths.find(model, part)
        if field is None:
            # A property or method: what follows is known at run time only.
            return hasattr(model, part) and not paths.changes_data(getattr(model, part))
        if not field.is_relation or field.related_model is None:
            return True  # a value or a generic foreign key, likewise
        model = field.related_model
    return True


def _check_dependencies(source: ImageSource) -> Iterator[CheckMessage]:
    for label, path in source.dependencies:
        if wrong := _find_fault(source.model, label, path):
            yield Error(
                f"{source!r}: depends_on[{label!r}] = {path!r}: {wrong}",
                hint="Name a model and the path from it to this source's rows, such as 'images'.",
                id="mmsearch_app.E005",
            )


def _find_fault(rows: type[Model], label: str, path: str) -> str:
    """Return why the path from the model of that label does not lead to `rows`, or ""."""
    try:
        found = paths.resolve(find_model(label), path).field
    except LookupError as error:
        return str(error)
    end = found.related_model if found is not None and found.is_relation else None
    if end is not None and (is_kind_of(end, rows) or is_kind_of(rows, end)):
        return ""
    return f"this path does not lead to rows of {rows._meta.label}."


def _check_routes(source: ImageSource) -> Iterator[CheckMessage]:
    ledger = router.db_for_write(Entry)
    routes = {model: _find_databases(model) - {ledger} for model in _find_models(source)}
    for model, others in routes.items():
        for other in sorted(others):
            yield Error(
                f"{source!r}: {model._meta.label} is written to the database {other!r}, and the "
                f"ledger of mmsearch_app to {ledger!r}. A mark must be in the transaction of the "
                "save, and indexing compares the two in one statement.",
                hint=f"Let DATABASE_ROUTERS send the app mmsearch_app to {other!r} as well, for "
                f"reads, writes and migrations; then run migrate --database {other}. Reads may go "
                "to replicas.",
                id="mmsearch_app.E009",
            )


def _find_models(source: ImageSource) -> list[type[Model]]:
    """Return the models whose saves mark rows of the source, or whose columns it reads."""
    found = [source.model, source.product_model]
    found += [path.field.model for path in source.paths.values() if path.lookup]
    for label, _ in source.dependencies:
        with suppress(LookupError):  # E005
            found.append(find_model(label))
    return list(dict.fromkeys(found))


def _find_databases(model: type[Model]) -> set[str]:
    """Return where the routers write a new row, with the row as a hint and without one."""
    found = {router.db_for_write(model)}
    with suppress(Exception):  # the shop's own __init__ or router
        found.add(router.db_for_write(model, instance=model()))
    return found


def check_database(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """W004: SQLite without IMMEDIATE transactions."""
    return [
        Warning(
            f"DATABASES[{alias!r}] is SQLite without IMMEDIATE transactions: the worker and the "
            "shop will raise 'database is locked' when both write.",
            hint="Set DATABASES[...]['OPTIONS']['transaction_mode'] = 'IMMEDIATE'.",
            id="mmsearch_app.W004",
        )
        for alias in databases or []
        if settings.DATABASES[alias]["ENGINE"].endswith("sqlite3")
        and settings.DATABASES[alias].get("OPTIONS", {}).get("transaction_mode") != "IMMEDIATE"
    ]
