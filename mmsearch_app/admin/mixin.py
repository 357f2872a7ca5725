"""For the shop's own admin pages: an action that marks pictures, a column with their state."""

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
from mmsearch_app.admin.progress import count_queued, tell_worker
from mmsearch_app.indexing import is_known, mark
from mmsearch_app.models import Entry
from mmsearch_app.sources import find_links, find_pictures, key_of, registry

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList
    from django.db.models import QuerySet
    from django.http import HttpRequest

    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = object

__all__ = ["STYLE", "ReindexMixin"]

STYLE = Media(css={"all": ["mmsearch/admin/admin.css"]})
_ACTION = "reindex_pictures"


class ReindexMixin(_ModelAdmin):
    """Gives the admin of a model the action "Reindex the pictures in search".

    Name it before `ModelAdmin`. The model is a registered one, the product of one, or one that
    a source depends on. Put `"search_state"` into `list_display` for a column that tells how
    the pictures of each row stand; it costs two queries a page and source, not a row.
    """

    @property
    def media(self) -> Media:
        """The page's own files and the style of the states."""
        return super().media + STYLE

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """E006: no picture hangs on the model."""
        found = super().check(**kwargs)
        if is_known(self.model):
            return found
        known = registry.labels()
        return [
            *found,
            Error(
                f"ReindexMixin cannot be used for {self.model._meta.label}: no picture that is "
                f"registered for search hangs on it; registered are: {known}.",
                hint="Register an ImageSource for it in mmsearch.py, or drop the mixin.",
                obj=type(self),
                id="mmsearch_app.E006",
            ),
        ]

    # The action

    def __init__(self, model: type[Any], admin_site: admin.AdminSite) -> None:
        """Add ours to the page's own actions, unless it has none by choice."""
        super().__init__(model, admin_site)
        if self.actions is not None and _ACTION not in self.actions:
            self.actions = [*self.actions, _ACTION]

    @admin.action(
        description=gettext_lazy("Reindex the pictures in search"), permissions=["change"]
    )
    def reindex_pictures(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Mark all pictures of the selected rows; a worker embeds them anew."""
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
        self.message_user(request, f"{text} {tell_worker()}", messages.SUCCESS)

    # The column

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The page of rows, with their entries when the column shows them."""
        page = super().get_changelist_instance(request)
        if "search_state" in page.list_display:
            attach_entries(list(page.result_list))
        return page

    @admin.display(description=gettext_lazy("search"))
    def search_state(self, obj: Model) -> SafeString:
        """How the pictures of this row stand in the search index."""
        if "mmsearch_entries" not in vars(obj):
            attach_entries([obj])
        entries = vars(obj)["mmsearch_entries"]
        return badges(entries) if entries else format_html("<span>{}</span>", "–")


def attach_entries(rows: Sequence[Model]) -> None:
    """Give each row of one model a list `mmsearch_entries`: those of its pictures."""
    for row in rows:
        vars(row)["mmsearch_entries"] = []
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
            vars(row)["mmsearch_entries"].append(entry)


def _owners(model: type[Model], rows: dict[Any, Model]) -> dict[tuple[str, str], list[Model]]:
    """Which of the rows each entry belongs to, by source and key."""
    owners: dict[tuple[str, str], list[Model]] = defaultdict(list)
    for source in registry.of_model(model):
        for pk, row in rows.items():
            owners[source.name, key_of(pk)].append(row)
    by_product = registry.of_product(model)
    for source in by_product:
        for pk, product in find_pictures(source, list(rows)):
            owners[source.name, key_of(pk)].append(rows[product])
    for source, parent, path in registry.depending_on(model):
        if source not in by_product:  # else the same pictures once more
            for pk, owner in find_links(source, parent, path, list(rows)):
                owners[source.name, key_of(pk)].append(rows[owner])
    return owners
