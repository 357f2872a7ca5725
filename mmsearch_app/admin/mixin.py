"""For the shop's own admin classes: a reindex action and a column with the search state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.checks import CheckMessage, Error
from django.db.models import Model, Q
from django.forms import Media
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from mmsearch_app.admin.cells import badges
from mmsearch_app.admin.progress import count_queued, describe_worker
from mmsearch_app.indexing import is_known, mark
from mmsearch_app.models import Entry
from mmsearch_app.sources import key_of, registry

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList
    from django.db.models import QuerySet
    from django.http import HttpRequest

    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = object

STYLE = Media(css={"all": ["mmsearch/admin/admin.css"]})
_ACTION = "reindex_pictures"
_ATTRIBUTE = "mmsearch_entries"


class ReindexMixin(_ModelAdmin):
    """Adds the action "Reindex the pictures in search" to the admin of a model.

    Put it before `ModelAdmin`. The model must be registered, be the product of a registered model,
    or be one that a source depends on. Add `"search_state"` to `list_display` for a column with
    the state of each row's images; it costs two queries per page and source.
    """

    @property
    def media(self) -> Media:
        return super().media + STYLE

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """E006: the model has no registered images."""
        found = super().check(**kwargs)
        if is_known(self.model):
            return found
        known = registry.labels()
        return [
            *found,
            Error(
                f"ReindexMixin cannot be used for {self.model._meta.label}: it has no images that "
                f"are registered for search; registered are: {known}.",
                hint="Register an ImageSource for it in mmsearch.py, or remove the mixin.",
                obj=type(self),
                id="mmsearch_app.E006",
            ),
        ]

    # The action

    def __init__(self, model: type[Any], admin_site: admin.AdminSite) -> None:
        """Add the action, unless the class disables actions."""
        super().__init__(model, admin_site)
        if self.actions is not None and _ACTION not in self.actions:
            self.actions = [*self.actions, _ACTION]

    @admin.action(
        description=gettext_lazy("Reindex the pictures in search"), permissions=["change"]
    )
    def reindex_pictures(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Mark the images of the selected rows; a worker embeds them again."""
        count = mark(queryset, force=True)
        if not count:
            self.message_user(request, _("There is no picture to reindex."), messages.WARNING)
            return
        marked = ngettext(
            "%(count)d picture is marked for the search index.",
            "%(count)d pictures are marked for the search index.",
            count,
        )
        queued = count_queued()
        waiting = ngettext("%(queued)d waits in all.", "%(queued)d wait in all.", queued)
        text = f"{marked} {waiting}" % {"count": count, "queued": queued}
        self.message_user(request, f"{text} {describe_worker()}", messages.SUCCESS)

    # The column

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Load the entries of all rows on the page if the column is shown."""
        page = super().get_changelist_instance(request)
        if "search_state" in page.list_display:
            attach_entries(list(page.result_list))
        return page

    @admin.display(description=gettext_lazy("search"))
    def search_state(self, obj: Model) -> SafeString:
        if not hasattr(obj, _ATTRIBUTE):
            attach_entries([obj])
        entries = getattr(obj, _ATTRIBUTE)
        return badges(entries) if entries else format_html("<span>{}</span>", "–")


def attach_entries(rows: Sequence[Model]) -> None:
    """Store the entries of each row's images on the row, as `Prefetch(to_attr=…)` would."""
    for row in rows:
        setattr(row, _ATTRIBUTE, [])
    if not rows:
        return
    owners = _owners(type(rows[0]), {row.pk: row for row in rows})
    wanted: dict[str, list[str]] = defaultdict(list)
    for source, key in owners:
        wanted[source].append(key)
    which = Q(pk__in=[])
    for source, keys in wanted.items():
        which |= Q(source=source, object_pk__in=keys)
    columns = ("source", "object_pk", "state", "error")
    for entry in Entry.objects.filter(which).only(*columns).order_by("pk"):
        for row in owners[entry.source, entry.object_pk]:
            getattr(row, _ATTRIBUTE).append(entry)


def _owners(model: type[Model], rows: dict[Any, Model]) -> dict[tuple[str, str], list[Model]]:
    """Return the rows that each entry belongs to, by source and key of the entry."""
    owners: dict[tuple[str, str], list[Model]] = defaultdict(list)
    for source in registry.of_model(model):
        for pk, row in rows.items():
            owners[source.name, key_of(pk)].append(row)
    for one in registry.watching(model):
        for pk, owner in one.links(list(rows)):
            shown = owners[one.source.name, key_of(pk)]
            if rows[owner] not in shown:
                shown.append(rows[owner])
    return owners
