"""`ImageSource`: what a shop wants indexed, one class per model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import Model, Prefetch, QuerySet
from django.utils.functional import cached_property

from mmsearch_app.sources import paths
from mmsearch_app.sources.filters import (
    Declared,
    Filter,
    FilterSpec,
    Trees,
    as_filter,
    read_filter,
    resolve_filter,
)
from mmsearch_app.sources.paths import Path
from mmsearch_app.sources.querysets import (
    concrete,
    from_primary,
    is_kind_of,
    load_also,
    prefetch_also,
)

if TYPE_CHECKING:
    from django.db.models.fields.files import FieldFile

ADDRESSES = ("get_absolute_url", "url")
"""What a product's class may have that says the address of its page; the first counts."""


class _Needed(NamedTuple):
    """What is fetched with rows."""

    columns: Collection[str]
    single: Sequence[str]
    """Lookups for `select_related`."""
    multiple: Sequence[str]
    """Lookups for `prefetch_related`."""


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
    filters: ClassVar[Mapping[str, Declared]] = {}
    """By the name of each filter, a path to its value or values, a list of paths, or a `Filter`."""
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

    def get_popular(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return rows to show if nothing fits, best first, of those that the visitor may see.

        Only asked if `MMSEARCH["NO_GOOD_MATCH"]` is "popular". Default: none.
        """
        return queryset.none()

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
        trees = Trees()
        specs = self.filter_specs.items()
        return {name: list(read_filter(row, spec, trees)) for name, spec in specs}

    def read_filter(self, row: Model, name: str, trees: Trees) -> Iterator[Any]:
        """Yield the values of one filter, with those of an overridden `get_filters`."""
        if self.overrides_filters:
            yield from paths.read(self.get_filters(row), name)
        else:
            yield from read_filter(row, self.filter_specs[name], trees)

    @property
    def overrides_filters(self) -> bool:
        """Whether the values of filters come from a `get_filters` of the shop's own."""
        return type(self).get_filters is not ImageSource.get_filters

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
    def paths(self) -> dict[str, Path]:
        """Every path of the source, by "@image", "@product", "@title" and the filters' names.

        Further paths of a filter are called "price#1", "price#2" and so on.
        """
        named = {"image": self.image, "product": self.product, "title": self.title}
        given = {f"@{key}": value for key, value in named.items() if value}
        for name, found in self._declared_filters.items():
            given |= zip(_path_keys(name, found), found.paths, strict=True)
        return {key: paths.resolve(self.model, value) for key, value in given.items()}

    @cached_property
    def filter_specs(self) -> dict[str, FilterSpec]:
        """Every filter of the source by name, with the type of its values."""
        return {
            name: resolve_filter(
                self.model, name, given, [self.paths[key] for key in _path_keys(name, given)]
            )
            for name, given in self._declared_filters.items()
        }

    @cached_property
    def _declared_filters(self) -> dict[str, Filter]:
        return {name: as_filter(declared) for name, declared in self.filters.items()}

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
        self,
        queryset: QuerySet[Any] | None = None,
        *,
        primary: bool = False,
        filters: Collection[str] | None = None,
    ) -> QuerySet[Any]:
        """Return `queryset` (default: all rows), set to fetch all that the paths need.

        Of the filters only those named, by default all. With `primary` everything is read from
        the database that takes writes.
        """
        rows = self.get_queryset() if queryset is None else queryset
        columns, single, multiple = self._needed(filters)
        rows = load_also(rows, columns)
        if single:
            rows = rows.select_related(*single)
        if not primary:
            return prefetch_also(rows, multiple)
        return prefetch_also(from_primary(rows), [*map(self._from_primary, multiple)])

    def _needed(self, filters: Collection[str] | None) -> _Needed:
        every = filters is None or (filters and self.overrides_filters)
        names = frozenset(self.filter_specs if every or filters is None else filters)
        if names not in self._needs:
            needed = [
                path
                for key, path in self.paths.items()
                if key.startswith("@") or key.partition("#")[0] in names
            ]
            self._needs[names] = _needed_by(needed)
        return self._needs[names]

    @cached_property
    def _needs(self) -> dict[frozenset[str], _Needed]:
        """What rows need if these filters are read, since every search asks."""
        return {}

    def _from_primary(self, lookup: str) -> str | Prefetch[Any]:
        field = paths.resolve(self.model, lookup.replace("__", ".")).field
        if not paths.takes_queryset(field):
            return lookup
        return Prefetch(lookup, queryset=from_primary(field.related_model._default_manager.all()))

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
        return self.showing_product(self.product_pk(product), self.get_queryset())

    def showing_product(self, pk: Any, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return those of the rows that have images of the product with that primary key."""
        return rows.filter(**{self.product_lookup: pk})

    def product_key(self, product: Model) -> str:
        """Return the product's key in the index, `app.model:pk` of the product model.

        An instance of a subclass has the same key as the product, whose row it shares.
        """
        label = concrete(self.product_model)._meta.label_lower
        return f"{label}:{self.product_pk(product)}"

    def product_pk(self, product: Model) -> Any:
        """Return the primary key that the product has as one of the product model."""
        key = self.product_model._meta.pk
        return key.to_python(getattr(product, key.attname))  # the shop may have assigned a text


def _needed_by(needed: Iterable[Path]) -> _Needed:
    single = sorted({path.to_one for path in needed if path.to_one})
    multiple = sorted({lookup for path in needed for lookup in path.prefetch})
    plain = {path.lookup for path in needed if path.lookup and not path.many}
    columns = {*single, *(lookup for lookup in plain if "__" not in lookup)}
    return _Needed(columns=columns, single=single, multiple=multiple)


def _path_keys(name: str, declared: Filter) -> list[str]:
    return [f"{name}#{number}" if number else name for number in range(len(declared.paths))]


def find_model(label: str) -> type[Model]:
    """Return the model of that label. Raises LookupError, which says what is wrong with it."""
    if not isinstance(label, str) or label.count(".") != 1:
        msg = "a model is named by a label such as 'catalogue.Product'."
        raise LookupError(msg)
    return apps.get_model(label)


def find_pictures(source: ImageSource, products: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Return the source's rows that show products of those keys, whether public or not.

    As pairs of the row's key and the product's key.
    """
    key = source.product_lookup
    rows = from_primary(source.model._base_manager.filter(**{f"{key}__in": products}))
    return list(rows.order_by("pk").values_list("pk", key))
