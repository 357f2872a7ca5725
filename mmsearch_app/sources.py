"""What the shop wants indexed: `ImageSource` and the registry of all sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, ValidationError
from django.db.models import Model, QuerySet

from mmsearch_app import paths

if TYPE_CHECKING:
    from django.db.models.fields.files import FieldFile

__all__ = ["ImageSource", "Registry", "product_key", "register", "registry"]


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
        return {key: paths.inspect(self.model, value) for key, value in given.items()}

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

    def fetch(self, queryset: QuerySet[Any] | None = None) -> QuerySet[Any]:
        """`queryset` (all rows by default) with all that the paths need, in few queries."""
        rows = self.get_queryset() if queryset is None else queryset
        single = {path.to_one for path in self.paths.values() if path.to_one}
        multiple = {path.to_many for path in self.paths.values() if path.to_many}
        if single:
            rows = rows.select_related(*sorted(single))
        return rows.prefetch_related(*sorted(multiple)) if multiple else rows

    def shows(self, product: Model) -> bool:
        """Whether the product is of the kind that this source's pictures show."""
        return is_kind_of(type(product), self.product_model)

    def valid_keys(self, pks: Iterable[str]) -> list[Any]:
        """Those that can be keys of the model: its type may have changed since they were kept."""
        field, valid = self.model._meta.pk, []
        for pk in pks:
            with suppress(ValidationError):
                valid.append(field.to_python(pk))
        return valid

    def rows_of(self, product: Model) -> QuerySet[Any]:
        """The product's rows, in the source's own order."""
        lookup = f"{self.paths['@product'].lookup}__pk" if self.product else "pk"
        return self.get_queryset().filter(**{lookup: product.pk})


def product_key(product: Model) -> str:
    """What stands for a product in the index: `app.model:pk`."""
    concrete = product._meta.concrete_model or type(product)
    return f"{concrete._meta.label_lower}:{product.pk}"


class Registry:
    """All sources of the project, by name, in the order of registration."""

    def __init__(self) -> None:
        self._sources: dict[str, ImageSource] = {}

    def __iter__(self) -> Iterator[ImageSource]:
        return iter(self._sources.values())

    def __len__(self) -> int:
        return len(self._sources)

    def __contains__(self, name: object) -> bool:
        return name in self._sources

    def add(self, source: ImageSource) -> None:
        """Take a source. Raises ImproperlyConfigured when its name is taken or unusable."""
        if source.name in self._sources:
            msg = f"Two image sources are called {source.name!r}; give one a `name` of its own."
            raise ImproperlyConfigured(msg)
        if ":" in source.name or len(source.name) > 100:
            msg = f"The source name {source.name!r} must be at most 100 characters, without ':'."
            raise ImproperlyConfigured(msg)
        self._sources[source.name] = source

    def remove(self, name: str) -> None:
        """Forget a source; its entries are removed at the next reconcile."""
        del self._sources[name]

    def get(self, name: str) -> ImageSource:
        """The source of that name. Raises KeyError with the list of right ones."""
        try:
            return self._sources[name]
        except KeyError:
            msg = f"No image source is called {name!r}; there are {sorted(self._sources)}."
            raise KeyError(msg) from None

    def of_model(self, model: type[Model]) -> list[ImageSource]:
        """The sources whose rows are of `model` or of an ancestor of it."""
        return [source for source in self if is_kind_of(model, source.model)]

    def depending_on(self, model: type[Model]) -> list[tuple[ImageSource, type[Model], str]]:
        """Sources that name `model` (or an ancestor) in `depends_on`, with it and the path."""
        return [
            (source, parent, path)
            for source in self
            for label, path in source.depends_on.items()
            if is_kind_of(model, parent := apps.get_model(label))
        ]

    def of_product(self, model: type[Model]) -> list[ImageSource]:
        """The sources whose rows show products of `model`, by their path to the product."""
        return [s for s in self if s.product and is_kind_of(model, s.product_model)]

    def product_models(self) -> list[type[Model]]:
        """Every model whose instances are products, without repetition."""
        return list(dict.fromkeys(source.product_model for source in self))


registry = Registry()


def is_kind_of(model: type[Model], other: type[Model]) -> bool:
    """Whether rows of `model` are rows of `other`: the same, a subclass, or a proxy of either."""
    return issubclass(_concrete(model), _concrete(other))


def _concrete(model: type[Model]) -> type[Model]:
    return model._meta.concrete_model or model


S = TypeVar("S", bound=type[ImageSource])


def register(model: str | type[Model]) -> Callable[[S], S]:
    """Register an `ImageSource` subclass for a model, given as a class or `"app.Model"`.

    Raises ImproperlyConfigured when the model does not exist or the name is taken.
    """

    def decorate(source: S) -> S:
        registry.add(source(_resolve(model)))
        return source

    return decorate


def _resolve(model: str | type[Model]) -> type[Model]:
    if not isinstance(model, str):
        return model
    try:
        return apps.get_model(model)
    except (LookupError, ValueError) as error:
        msg = f"register({model!r}): {error}"
        raise ImproperlyConfigured(msg) from error


def find_rows(source: ImageSource, parent: type[Model], path: str, pks: Iterable[Any]) -> list[Any]:
    """Primary keys of the source's rows that hang on rows `pks` of `parent` by `path`."""
    found = paths.inspect(parent, path)
    if found.lookup is None:
        raise FieldDoesNotExist(f"{source!r}: depends_on path {path!r} of {parent._meta.label}")
    rows = parent._base_manager.filter(pk__in=pks).values_list(f"{found.lookup}__pk", flat=True)
    return [pk for pk in rows.distinct() if pk is not None]


def find_pictures(source: ImageSource, products: Iterable[Any]) -> list[tuple[Any, Any]]:
    """The source's rows that show products of those keys, public or not: row key, product key."""
    key = f"{source.paths['@product'].lookup}__pk" if source.product else "pk"
    rows = source.model._base_manager.filter(**{f"{key}__in": products})
    return list(rows.order_by("pk").values_list("pk", key))


def known_labels(models: Sequence[type[Model]]) -> str:
    """Labels for a message."""
    return ", ".join(model._meta.label for model in models) or "none"
