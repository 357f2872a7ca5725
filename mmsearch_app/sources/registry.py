"""The registry of all sources, to which the shop's modules `mmsearch.py` add theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model

from mmsearch_app.sources.base import ImageSource, find_model
from mmsearch_app.sources.filters import FilterSpec
from mmsearch_app.sources.querysets import is_kind_of
from mmsearch_app.sources.watched import Watched, watched_by

_S = TypeVar("_S", bound=type[ImageSource])
_T = TypeVar("_T")


class Registry:
    """All sources of the project, by name, in the order of registration."""

    def __init__(self) -> None:
        self._sources: dict[str, ImageSource] = {}
        self._watches: dict[str, list[Watched]] = {}
        self._forget_models()
        self._defaults: set[str] = set()

    def __iter__(self) -> Iterator[ImageSource]:
        return iter(self._sources.values())

    def __len__(self) -> int:
        return len(self._sources)

    def __contains__(self, name: object) -> bool:
        return name in self._sources

    def add(self, source: ImageSource, *, default: bool = False) -> None:
        """Add a source. Raises ImproperlyConfigured if its name is taken or unusable.

        A `default` gives way to any other source of its model, registered before or after it.
        """
        others = [other for other in self if other.model is source.model]
        if default and others:
            return
        for other in others:
            if other.name in self._defaults:
                self.remove(other.name)
        if source.name in self._sources:
            msg = f"Two image sources are called {source.name!r}; give one a `name` of its own."
            raise ImproperlyConfigured(msg)
        if ":" in source.name or len(source.name) > 100:
            msg = f"The source name {source.name!r} must be at most 100 characters, without ':'."
            raise ImproperlyConfigured(msg)
        self._sources[source.name] = source
        self._forget_models()
        if default:
            self._defaults.add(source.name)

    def remove(self, name: str) -> None:
        """Remove a source; the next reconcile marks its entries as gone."""
        del self._sources[name]
        self._watches.pop(name, None)
        self._defaults.discard(name)
        self._forget_models()

    def _forget_models(self) -> None:
        """Look up again what concerns a model: every save asks for it."""
        self._of_model: dict[type[Model], list[ImageSource]] = {}
        self._watching: dict[type[Model], list[Watched]] = {}

    def get(self, name: str) -> ImageSource:
        """Return the source of that name. Raises KeyError, which lists the known names."""
        try:
            return self._sources[name]
        except KeyError:
            msg = f"No image source is called {name!r}; there are {sorted(self._sources)}."
            raise KeyError(msg) from None

    def of_model(self, model: type[Model]) -> list[ImageSource]:
        """Return the sources registered for `model` or an ancestor of it."""
        if model not in self._of_model:
            self._of_model[model] = [one for one in self if is_kind_of(model, one.model)]
        return self._of_model[model]

    def watching(self, model: type[Model]) -> list[Watched]:
        """Return what marks rows of the sources when a row of `model` is saved or deleted.

        A label in `depends_on` that names no model is skipped: a system check reports it (E005).
        """
        if model not in self._watching:
            every = [one for source in self for one in self._watched(source)]
            self._watching[model] = [one for one in every if one.concerns(model)]
        return self._watching[model]

    def _watched(self, source: ImageSource) -> list[Watched]:
        if source.name not in self._watches:
            self._watches[source.name] = watched_by(source)
        return self._watches[source.name]

    def product_models(self) -> list[type[Model]]:
        """Return every model whose instances are products, each once."""
        return list(dict.fromkeys(source.product_model for source in self))

    def showing(self, product: Model) -> list[ImageSource]:
        """Return the sources that show products of this kind."""
        return [source for source in self if source.shows(product)]

    def keys_of(self, product: Model) -> tuple[str, ...]:
        """Return the product's keys in the index: one per product model that it is one of."""
        return tuple(dict.fromkeys(s.product_key(product) for s in self.showing(product)))

    def group(self, named: Iterable[tuple[str, _T]]) -> Iterator[tuple[ImageSource, list[_T]]]:
        """Group items by the source whose name they come with; unknown names are left out."""
        groups: dict[str, list[_T]] = {}
        for name, item in named:
            if name in self:
                groups.setdefault(name, []).append(item)
        return ((self.get(name), items) for name, items in groups.items())

    def labels(self) -> str:
        """Return the labels of the registered models, for a message."""
        return ", ".join(source.model._meta.label for source in self) or "none"


registry = Registry()


def specs() -> dict[str, FilterSpec]:
    """Return every filter of all sources by name; the first source that has it describes it."""
    found: dict[str, FilterSpec] = {}
    for source in registry:
        found |= {name: spec for name, spec in source.filter_specs.items() if name not in found}
    return found


def register(model: str | type[Model], *, default: bool = False) -> Callable[[_S], _S]:
    """Register an `ImageSource` subclass for a model, given as a class or `"app.Model"`.

    A reusable app registers a `default`: it gives way to the project's own source of that model,
    whichever is registered first. Raises ImproperlyConfigured if the model does not exist or the
    name is taken.
    """

    def decorate(source: _S) -> _S:
        registry.add(source(_resolve(model)), default=default)
        return source

    return decorate


def _resolve(model: str | type[Model]) -> type[Model]:
    if isinstance(model, type) and issubclass(model, Model):
        return model
    try:
        return find_model(model)
    except LookupError as error:
        msg = f"register({model!r}): {error}"
        raise ImproperlyConfigured(msg) from error
