"""How a row's values are written in the ledger and in the row's signature."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.db.models import CharField, Expression, Field, Func, TextField, Value
from django.db.models.functions import MD5, Cast, Coalesce

if TYPE_CHECKING:
    from mmsearch_app.sources.base import ImageSource


def signature(source: ImageSource) -> Expression:
    """Return the MD5 of the columns that the source's paths lead to, as the database computes it.

    Paths through properties or to many rows are left out: their changes need a signal or `mark`.
    Filters that say more than one path are part of it, so that every row counts as changed after
    such a filter was added or got another type.
    """
    lookups = {path.lookup for path in source.paths.values() if path.lookup and not path.many}
    text = TextField()
    declared = [str(spec) for spec in source.filter_specs.values() if not spec.plain]
    parts: list[Any] = [Value("\x1f".join([source.name, *declared]), output_field=text)]
    for lookup in sorted(lookups):
        parts += [Value("\x1f", output_field=text)]
        parts += [Coalesce(Cast(lookup, text), Value("", output_field=text))]
    return MD5(_Joined(*parts, output_field=text), output_field=CharField())


class _Joined(Func):
    """Texts one after the other, none of them NULL.

    Django's `Concat` nests one call for each text, and SQLite's parser overflows at about thirty.
    """

    template = "(%(expressions)s)"
    arg_joiner = " || "

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="CONCAT(%(expressions)s)", arg_joiner=", ", **context
        )


def key_field(source: ImageSource) -> Field[Any, Any]:
    """Return the primary key's own field, at the end of one-to-one links."""
    field: Any = source.model._meta.pk
    while field.is_relation:
        field = field.target_field
    return field  # type: ignore[no-any-return]


def key_of(pk: Any) -> str:
    """Return a primary key as the ledger keeps it; UUIDs without dashes, as SQLite keeps them."""
    return pk.hex if isinstance(pk, uuid.UUID) else str(pk)


def entry_key(source: str, pk: Any) -> str:
    """Return the id of a row's image in the index, which is `Entry.key`."""
    return f"{source}:{key_of(pk)}"
