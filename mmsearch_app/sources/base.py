"""`ImageSource`: what a shop wants indexed, one class per model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, ValidationError
from django.db.models import Model, Prefetch, QuerySet

from mmsearch_app.sources import paths

if TYPE_CHECKING:
    from django.db.models.fields.files import FieldFile

_M = TypeVar("_M", bound=Model)
ADDRESSES = ("get_absolute_url", "url")
"""What a product's class may have that says the address of its page; the first counts."""


def from_primary(rows: QuerySet[_M]) -> QuerySet[_M]:
    """Read the rows from the database that takes writes, unless the queryset names one itself."""
    # A replica may lag behind. `db` of a queryset that locks is the database it names, or else
    # the one that the router gives for writes; nothing is locked by asking.
    return rows.using(rows.select_for_update().db)


class ImageSource:
    """One model whose rows have images of products. Subclass it and `register` it.

    Paths are dotted and start at a row of the model: `"original"`, `"media.file"`,
    `"product.categories.slug"`. They follow fields, relations, properties and methods.
    """

    name: str = ""
    """Distinguishes two sources of one model. Default: the model's label."""
    image: str = "image"
    """Path of the ImageField or FileField. It may be empty, or contain something else."""
    product: str | None = None
    """Path of the product, through fields only. None: the row itself is the product."""
    title: str | None = None
    """Path of words that describe the product; they are embedded with the image."""
    filters: ClassVar[Mapping[str, str]] = {}
    """Path of the value or values of each filter, by the filter's name."""
    depends_on: ClassVar[Mapping[str, str | Sequence[str]]] = {}
    """Path or paths from another model to this source's rows, by the other model's label: a save
    or delete there marks those rows."""

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self.name = self.name or model._meta.label_lower

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows that may be indexed and shown; used for indexing and every result."""
        return self.model._default_manager.all()

    def visible_to(self, queryset: QuerySet[Any], user: Any, request: Any = None) -> QuerySet[Any]:
        """Narrow what a search by `user` may show. Default: everything.

        `request` is None where a search has none, as in a script; it tells the site or channel.
        An override may leave it out. If this raises, the source shows nothing.
        """
        return queryset

    # What a product shows

    def get_url(self, product: Model) -> str:
        """Return the address of the product's page: its `get_absolute_url()`, its `url`, or ""."""
        # A plain getattr with a default would hide the AttributeError of a faulty property.
        own, kind = vars(product), type(product)
        name = next((name for name in ADDRESSES if name in own or hasattr(kind, name)), None)
        found = getattr(product, name) if name else ""
        return str((found() if callable(found) else found) or "")

    def get_image_url(self, row: Model) -> str:
        """Return the address of the row's picture for cards: a thumbnail in most shops.

        Default: the address of the file itself.
        """
        file = self.get_file(row)
        return file.url if file else ""

    def get_image_srcset(self, row: Model) -> str:
        """Return the `srcset` of the row's picture for cards, or ""."""
        return ""

    def get_stand_in(self, product: Model) -> Model | None:
        """Return another product whose pictures stand for this one, such as a variant's parent."""
        return None

    # What a row says

    def get_file(self, row: Model) -> FieldFile | None:
        """Return the row's image file, not opened, or None."""
        return next((file for file in paths.read(row, self.image) if file), None)

    def get_product(self, row: Model) -> Model | None:
        """Return the product that the image shows, or None if the link is empty."""
        return row if self.product is None else next(paths.read(row, self.product), None)

    def get_title(self, row: Model) -> str:
        """Return words that describe the product, or ""."""
        found = paths.read(row, self.title) if self.title else iter(())
        return " ".join(str(value) for value in found).strip()

    def get_filters(self, row: Model) -> dict[str, list[Any]]:
        """Return the values of each filter, by its name."""
        return {name: list(paths.read(row, path)) for name, path in self.filters.items()}

    # How rows are found

    @cached_property
    def dependencies(self) -> list[tuple[str, str]]:
        """The label of a model and a path from it to this source's rows, for each path."""
        return [
            (label, path)
            for label, given in self.depends_on.items()
            for path in ([given] if isinstance(given, str) else given)
        ]

    @cached_property
    def paths(self) -> dict[str, paths.Path]:
        """Every path of the source, by "@image", "@product", "@title" and the filters' names."""
        named = {"image": self.image, "product": self.product, "title": self.title}
        given = {f"@{key}": value for key, value in named.items() if value} | dict(self.filters)
        return {key: paths.resolve(self.model, value) for key, value in given.items()}

    @cached_property
    def product_model(self) -> type[Model]:
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
        """Return `queryset` (default: all rows), set to fetch all that the paths need.

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
        """Return whether the product is of the kind that this source's images show."""
        return is_kind_of(type(product), self.product_model)

    def valid_keys(self, pks: Iterable[str]) -> list[Any]:
        """Return those of the ledger's keys that fit the model, whose key type may have changed."""
        field, valid = self.model._meta.pk, []
        for pk in pks:
            with suppress(ValidationError):
                key = field.to_python(pk)
                field.run_validators(key)  # whether a number fits the column
                valid.append(key)
        return valid

    def rows_of(self, product: Model) -> QuerySet[Any]:
        """Return the rows with the product's images, in the source's own order."""
        return self.get_queryset().filter(**{self.product_lookup: self._product_pk(product)})

    def product_key(self, product: Model) -> str:
        """Return the product's key in the index, `app.model:pk` of the product model.

        An instance of a subclass has the same key as the product, whose row it shares.
        """
        label = _concrete(self.product_model)._meta.label_lower
        return f"{label}:{self._product_pk(product)}"

    def _product_pk(self, product: Model) -> Any:
        key = self.product_model._meta.pk
        return key.to_python(getattr(product, key.attname))  # the shop may have assigned a text


def is_kind_of(model: type[Model], other: type[Model]) -> bool:
    """Return whether `model` is `other`, a subclass of it, or a proxy of either."""
    return issubclass(_concrete(model), _concrete(other))


def _concrete(model: type[Model]) -> type[Model]:
    return model._meta.concrete_model or model


def find_links(
    source: ImageSource, parent: type[Model], path: str, pks: Iterable[Any]
) -> list[tuple[Any, Any]]:
    """Return the source's rows to which `path` leads from rows `pks` of `parent`.

    As pairs of the row's key and the parent's key.
    """
    found = paths.resolve(parent, path)
    if found.lookup is None:
        msg = f"{source!r}: the depends_on path {path!r} of {parent._meta.label} leads nowhere."
        raise FieldDoesNotExist(msg)
    owners = from_primary(parent._base_manager.filter(pk__in=pks))
    links = owners.values_list(f"{found.lookup}__pk", "pk")
    return [(pk, owner) for pk, owner in links.distinct() if pk is not None]


def find_pictures(source: ImageSource, products: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Return the source's rows that show products of those keys, whether public or not.

    As pairs of the row's key and the product's key.
    """
    key = source.product_lookup
    rows = from_primary(source.model._base_manager.filter(**{f"{key}__in": products}))
    return list(rows.order_by("pk").values_list("pk", key))
