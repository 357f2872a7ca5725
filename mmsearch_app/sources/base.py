"""What the shop wants indexed, as one class a model: `ImageSource`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, ValidationError
from django.db import router
from django.db.models import Model, Prefetch, QuerySet

from mmsearch_app.sources import paths

if TYPE_CHECKING:
    from django.db.models.fields.files import FieldFile

from typing import TYPE_CHECKING

__all__ = ["ImageSource", "find_links", "find_pictures", "find_rows", "from_primary", "is_kind_of"]


_M = TypeVar("_M", bound=Model)


def from_primary(rows: QuerySet[_M]) -> QuerySet[_M]:
    """The rows by the database that takes writes, unless the queryset names one itself."""
    named = rows._db  # type: ignore[attr-defined]
    return rows if named else rows.using(router.db_for_write(rows.model))


class ImageSource:
    """One model whose rows carry pictures of products. Subclass it and `register` it.

    Paths are dotted and start at a row of the model: `"original"`, `"media.file"`,
    `"product.categories.slug"`. They follow fields, relations, properties and methods.
    """

    name: str = ""
    """Distinguishes two sources of one model; the model's label unless given."""
    image: str = "image"
    """Path of the ImageField or FileField. It may be empty, or hold something else."""
    product: str | None = None
    """Path of the product, by fields only; None: the row itself is the product."""
    title: str | None = None
    """Path of words that describe the product; they are embedded with the picture."""
    filters: ClassVar[Mapping[str, str]] = {}
    """Name of a filter to the path of its value or values."""
    depends_on: ClassVar[Mapping[str, str]] = {}
    """Label of another model to the path from it to this source's rows: a save or delete
    there marks those rows."""

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self.name = self.name or model._meta.label_lower

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def get_queryset(self) -> QuerySet[Any]:
        """The rows that may be indexed and shown: used for indexing and for every result."""
        return self.model._default_manager.all()

    def visible_to(self, queryset: QuerySet[Any], user: Any) -> QuerySet[Any]:
        """Narrow what a search by `user` may show; everything by default."""
        return queryset

    # What a row says

    def get_file(self, row: Model) -> FieldFile | None:
        """The row's picture, not opened; None where there is none."""
        return next((file for file in paths.read(row, self.image) if file), None)

    def get_product(self, row: Model) -> Model | None:
        """The product that the row's picture shows; None where the link is empty."""
        return row if self.product is None else next(paths.read(row, self.product), None)

    def get_title(self, row: Model) -> str:
        """Words that describe the product, or ""."""
        found = paths.read(row, self.title) if self.title else iter(())
        return " ".join(str(value) for value in found).strip()

    def get_filters(self, row: Model) -> dict[str, list[Any]]:
        """The values of each filter."""
        return {name: list(paths.read(row, path)) for name, path in self.filters.items()}

    # How rows are found

    @cached_property
    def paths(self) -> dict[str, paths.Path]:
        """Every path of the source, inspected; filters under their own names."""
        named = {"image": self.image, "product": self.product, "title": self.title}
        given = {f"@{key}": value for key, value in named.items() if value} | dict(self.filters)
        return {key: paths.resolve(self.model, value) for key, value in given.items()}

    @cached_property
    def product_model(self) -> type[Model]:
        """The model of the products."""
        if self.product is None:
            return self.model
        path = self.paths["@product"]
        field = path.field
        if field is None or not field.is_relation or path.many:
            msg = (
                f"{self!r}: product = {self.product!r} must lead to a model by foreign keys "
                f"of {self.model._meta.label}."
            )
            raise ImproperlyConfigured(msg)
        return field.related_model  # type: ignore[no-any-return]

    @cached_property
    def product_lookup(self) -> str:
        """The lookup from a row to its product's primary key."""
        return f"{self.paths['@product'].lookup}__pk" if self.product else "pk"

    def fetch(
        self, queryset: QuerySet[Any] | None = None, *, primary: bool = False
    ) -> QuerySet[Any]:
        """`queryset` (all rows by default) with all that the paths need, in few queries.

        With `primary` everything is read from the database that takes writes.
        """
        rows = self.get_queryset() if queryset is None else queryset
        single = {path.to_one for path in self.paths.values() if path.to_one}
        multiple = sorted({path.to_many for path in self.paths.values() if path.to_many})
        if single:
            rows = rows.select_related(*sorted(single))
        if not primary:
            return rows.prefetch_related(*multiple)
        return from_primary(rows).prefetch_related(*map(self._from_primary, multiple))

    def _from_primary(self, lookup: str) -> Prefetch[Any]:
        related: Any = paths.resolve(self.model, lookup.replace("__", ".")).field.related_model
        return Prefetch(lookup, queryset=from_primary(related._default_manager.all()))

    def shows(self, product: Model) -> bool:
        """Whether the product is of the kind that this source's pictures show."""
        return is_kind_of(type(product), self.product_model)

    def valid_keys(self, pks: Iterable[str]) -> list[Any]:
        """Those that can be keys of the model: its type may have changed since they were kept."""
        field, valid = self.model._meta.pk, []
        for pk in pks:
            with suppress(ValidationError):
                key = field.to_python(pk)
                field.run_validators(key)  # of numbers, whether the column can hold them
                valid.append(key)
        return valid

    def rows_of(self, product: Model) -> QuerySet[Any]:
        """The product's rows, in the source's own order."""
        return self.get_queryset().filter(**{self.product_lookup: self._product_pk(product)})

    def product_key(self, product: Model) -> str:
        """What stands for the product in the index: `app.model:pk`, of the product model.

        The same for an instance of a subclass, whose row is the product's as well.
        """
        label = _concrete(self.product_model)._meta.label_lower
        return f"{label}:{self._product_pk(product)}"

    def _product_pk(self, product: Model) -> Any:
        key = self.product_model._meta.pk
        return key.to_python(getattr(product, key.attname))  # what was assigned may be a text


def is_kind_of(model: type[Model], other: type[Model]) -> bool:
    """Whether rows of `model` are rows of `other`: the same, a subclass, or a proxy of either."""
    return issubclass(_concrete(model), _concrete(other))


def _concrete(model: type[Model]) -> type[Model]:
    return model._meta.concrete_model or model


def find_rows(source: ImageSource, parent: type[Model], path: str, pks: Iterable[Any]) -> list[Any]:
    """Primary keys of the source's rows that hang on rows `pks` of `parent` by `path`."""
    return list(dict.fromkeys(pk for pk, _ in find_links(source, parent, path, pks)))


def find_links(
    source: ImageSource, parent: type[Model], path: str, pks: Iterable[Any]
) -> list[tuple[Any, Any]]:
    """The same with what each hangs on: row key, key of the `parent`."""
    found = paths.resolve(parent, path)
    if found.lookup is None:
        msg = f"{source!r}: the depends_on path {path!r} of {parent._meta.label} leads nowhere."
        raise FieldDoesNotExist(msg)
    owners = from_primary(parent._base_manager.filter(pk__in=pks))
    links = owners.values_list(f"{found.lookup}__pk", "pk")
    return [(pk, owner) for pk, owner in links.distinct() if pk is not None]


def find_pictures(source: ImageSource, products: Iterable[Any]) -> list[tuple[Any, Any]]:
    """The source's rows that show products of those keys, public or not: row key, product key."""
    key = source.product_lookup
    rows = from_primary(source.model._base_manager.filter(**{f"{key}__in": products}))
    return list(rows.order_by("pk").values_list("pk", key))
