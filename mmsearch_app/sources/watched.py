"""Which saves of other models change what a source's rows say: derived from its own paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import ForeignKey, Model, QuerySet
from django.db.models.fields.reverse_related import ForeignObjectRel, ManyToOneRel

from mmsearch_app.sources import paths
from mmsearch_app.sources.base import ImageSource, find_model
from mmsearch_app.sources.querysets import from_primary, is_kind_of

if TYPE_CHECKING:
    from django.db.models import ManyToManyField

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A model whose saves and deletes mark rows of a source."""

    source: ImageSource
    model: type[Model]
    lookup: str
    """From the source's rows to rows of the model or, with `via`, to what `via` points to."""
    via: ForeignKey[Any, Any] | None = None
    """The model's own link towards the rows. It may change, and then both ends are marked."""
    path: str = ""
    """The way from the model to the rows, if the shop declared one that `lookup` cannot follow."""
    reads: frozenset[str] | None = None
    """Names of the model's fields that the source's paths read; None: every save counts.

    If they are none, the paths read only which row is linked: a delete counts, a save does not.
    """
    points_later: bool = False
    """Whether nothing can be linked to a row of the model before it is saved."""
    beside: type[Model] | None = None
    """A subclass of the model that is watched itself."""

    def concerns(self, model: type[Model]) -> bool:
        """Return whether a save of that model counts."""
        itself = self.beside is not None and is_kind_of(model, self.beside)
        return is_kind_of(model, self.model) and not itself

    def is_read(self, update_fields: Iterable[str] | None) -> bool:
        """Return whether a save of only those fields counts; None means all fields."""
        if self.reads is None or (update_fields is None and self.reads):
            return True
        return not self.reads.isdisjoint(update_fields or ())

    def key_of(self, instance: Model) -> Any:
        """Return what `lookup` is compared with for a row of the model, a subclass or a proxy."""
        field: Any = self.via or self.model._meta.pk
        return field.to_python(getattr(instance, field.attname))

    def stored_keys(self, pks: Iterable[Any]) -> list[Any]:
        """Return what `lookup` is compared with for the rows of those primary keys."""
        return [key for _, key in self._keys_by_pk(pks)]

    def rows(self, keys: Iterable[Any]) -> QuerySet[Any]:
        """Return the source's rows that depend on rows of the model with those keys."""
        rows = from_primary(self.source.model._base_manager.all())
        if not self.path:
            return rows.filter(**{f"{self.lookup}__in": [key for key in keys if key is not None]})
        found = paths.resolve(self.model, self.path).lookup
        if found is None:
            label = self.model._meta.label
            msg = f"{self.source!r}: the depends_on path {self.path!r} of {label} leads nowhere."
            raise FieldDoesNotExist(msg)
        owners = self.model._base_manager.filter(pk__in=[*keys])
        return rows.filter(pk__in=owners.values(f"{found}__pk"))

    def links(self, pks: Iterable[Any]) -> list[tuple[Any, Any]]:
        """Return the source's rows that depend on the model's rows of those primary keys.

        As pairs of the row's key and the other's key.
        """
        if self.path:
            found = paths.resolve(self.model, self.path).lookup
            owners = from_primary(self.model._base_manager.filter(pk__in=[*pks]))
            pairs = owners.values_list(f"{found}__pk", "pk").distinct()
            return [(pk, owner) for pk, owner in pairs if pk is not None]
        owners_of: dict[Any, list[Any]] = {}
        for pk, key in self._keys_by_pk(pks):
            owners_of.setdefault(key, []).append(pk)
        rows = self.rows(owners_of).order_by("pk").values_list("pk", self.lookup).distinct()
        return [(pk, owner) for pk, key in rows for owner in owners_of[key]]

    def _keys_by_pk(self, pks: Iterable[Any]) -> list[tuple[Any, Any]]:
        if self.via is None:
            return [(pk, pk) for pk in pks]
        stored = from_primary(self.model._base_manager.filter(pk__in=[*pks]))
        return list(stored.values_list("pk", self.via.attname))


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyLink:
    """A many-to-many relation on a source's path."""

    source: ImageSource
    lookup: str
    """From the source's rows to the owner of the relation."""
    field: ManyToManyField[Any, Any]
    forward: bool
    """Whether the path follows the field from the model that declares it."""

    @property
    def through(self) -> type[Model]:
        through: Any = self.field.remote_field.through
        return through  # type: ignore[no-any-return]

    @property
    def owner(self) -> type[Model]:
        """The model at this end of the relation."""
        owner: Any = self.field.model if self.forward else self.field.related_model
        return owner  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One part of a path that is followed from rows of `owner`."""

    owner: type[Model]
    before: str
    """The lookup to the owner, "" at the source's row."""
    field: Any
    """The field or relation, or None if the part is a property, a method or a key."""

    @property
    def after(self) -> str:
        return f"{self.before}__{self.field.name}".removeprefix("__")

    @property
    def follows(self) -> bool:
        """Whether the part leads to rows of another model."""
        field = self.field
        return field is not None and bool(field.is_relation) and field.related_model is not None


def watched_by(source: ImageSource) -> list[Watched]:
    """Return the models that the source's paths lead through, and those it declares."""
    found: dict[tuple[type[Model], str, Any, str], Watched] = {}
    for one in [*_declared(source), *_parents_of_rows(source), *_on_paths(source)]:
        key = (one.model, one.lookup, one.via, one.path)
        known = found.get(key, one)
        later = known.points_later and one.points_later
        found[key] = replace(known, reads=_both(known.reads, one.reads), points_later=later)
    return [*found.values()]


def many_links(source: ImageSource) -> list[ManyLink]:
    """Return the many-to-many relations on the source's paths."""
    return [
        _many_link(source, step)
        for path in source.paths.values()
        for step in _steps(source.model, path.dotted)
        if step.follows and step.field.many_to_many
    ]


def _many_link(source: ImageSource, step: _Step) -> ManyLink:
    reverse = isinstance(step.field, ForeignObjectRel)
    field: Any = step.field.field if reverse else step.field
    return ManyLink(source=source, lookup=step.before or "pk", field=field, forward=not reverse)


def _steps(model: type[Model], dotted: str) -> Iterator[_Step]:
    owner, before = model, ""
    for part in dotted.split("."):
        step = _Step(owner=owner, before=before, field=paths.find(owner, part))
        yield step
        if not step.follows:
            return
        owner, before = step.field.related_model, step.after


def _declared(source: ImageSource) -> Iterator[Watched]:
    for label, path in source.dependencies:
        with suppress(LookupError):
            model = find_model(label)
            lookup = _invert(source, model, path)
            yield Watched(source=source, model=model, lookup=lookup, path="" if lookup else path)


def _invert(source: ImageSource, model: type[Model], dotted: str) -> str:
    """Return the lookup that leads back along a path from `model` to the source's rows, or ""."""
    names: list[str] = []
    for step in _steps(model, dotted):
        if not step.follows:
            return ""
        if isinstance(step.field, ForeignObjectRel):
            names.append(step.field.field.name)
        elif step.field.remote_field is None or step.field.remote_field.hidden:
            return ""
        else:
            names.append(step.field.related_query_name())
    back = paths.resolve(source.model, ".".join(reversed(names)))
    related = back.field.related_model if back.field is not None and back.lookup else None
    return back.lookup or "" if related is not None and is_kind_of(related, model) else ""


def _parents_of_rows(source: ImageSource) -> Iterator[Watched]:
    own = Watched(source=source, model=source.model, lookup="pk")
    yield from _parents_of(own, prefix="")


def _parents_of(one: Watched, *, prefix: str) -> Iterator[Watched]:
    """Yield the same rows as seen by the tables that the model inherits from."""
    for parent, link in one.model._meta.concrete_model._meta.parents.items():  # type: ignore[union-attr]
        if link is not None:
            lookup = f"{prefix}__{link.name}".removeprefix("__")
            above = replace(one, model=parent, lookup=lookup, beside=one.model)
            yield above
            yield from _parents_of(above, prefix=lookup)


def _on_paths(source: ImageSource) -> Iterator[Watched]:
    for path in source.paths.values():
        steps = [*_steps(source.model, path.dotted)]
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            if not step.follows:
                continue
            reads = _NONE if following is None else _read_by(following)
            end = Watched(
                source=source,
                model=step.field.related_model,
                lookup=step.after,
                reads=reads,
                points_later=not step.field.one_to_many,
            )
            link = _link_towards(step)
            if link is not None:
                names = frozenset({link.name, link.attname})
                yield replace(
                    end,
                    model=link.model,
                    lookup=f"{step.before}__{link.target_field.name}".removeprefix("__"),
                    via=link,
                    reads=names if step.field.many_to_many else _both(reads, names),
                    points_later=False,
                )
            if not isinstance(step.field, ManyToOneRel):
                yield end
            yield from _parents_of(end, prefix=step.after)


def _read_by(step: _Step) -> frozenset[str] | None:
    """Return the names of the owner's fields that a step reads; None if it may be any."""
    field = step.field
    if field is None:
        return None
    if isinstance(field, ForeignObjectRel) or field.many_to_many:
        return _NONE  # the link is on the other side
    if field.is_relation and field.related_model is None:
        return None
    return frozenset({field.name, getattr(field, "attname", field.name)})


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    return None if one is None or other is None else one | other


def _link_towards(step: _Step) -> ForeignKey[Any, Any] | None:
    """Return the other side's foreign key to the step's owner, if it is a model's of its own."""
    field, link = step.field, None
    if isinstance(field, ManyToOneRel):
        link = field.field
    elif field.many_to_many:
        reverse = isinstance(field, ForeignObjectRel)
        many = field.field if reverse else field
        through = many.remote_field.through
        if through._meta.auto_created:
            return None  # these links are no rows of their own: Django sends `m2m_changed`
        ends = getattr(many, "m2m_field_name", None), getattr(many, "m2m_reverse_field_name", None)
        name = ends[reverse]
        link = through._meta.get_field(name()) if name else None
    return link if isinstance(link, ForeignKey) else None
