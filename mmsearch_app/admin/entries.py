"""The admin: the ledger as a list to read, and what a shop's own admin pages can use."""

from __future__ import annotations

import contextlib
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from mmsearch_app.admin.cells import (
    attach,
    badge,
    load_subjects,
    object_link,
    render_picture,
    shorten,
    subject_of,
    thumbnail,
)
from mmsearch_app.admin.mixin import STYLE, ReindexMixin
from mmsearch_app.admin.pages import EntryPages
from mmsearch_app.admin.progress import measure_backlog, measure_rebuild, tell_worker
from mmsearch_app.models import Entry, Rebuild
from mmsearch_app.sources import registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.contrib.admin.views.main import ChangeList
    from django.forms import Media

__all__ = ["EntryAdmin", "ReindexMixin"]

_WORK = ("standing", "explanation", "attempts", "due_at", "lease_until", "marked_at", "indexed_at")
_VERSIONS = (
    *("present", "wanted", "generation", "digest"),
    *("content", "signature", "staged", "staged_in"),
)


class SourceFilter(admin.SimpleListFilter):
    """By source, without asking the database which there are."""

    title = gettext_lazy("source")
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """All registered sources, and the rest."""
        return [*((source.name, source.name) for source in registry), ("-", _("not registered"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        """Narrowed to the choice."""
        if self.value() == "-":
            return queryset.exclude(source__in=[source.name for source in registry])
        return queryset.filter(source=self.value()) if self.value() else queryset


@admin.register(Entry)
class EntryAdmin(EntryPages):
    """The ledger: read-only, but for asking for another attempt."""

    list_display = ("thumbnail", "subject", "standing", "problem", "indexed")
    list_display_links = ("thumbnail", "standing")
    list_filter: ClassVar = ["state", SourceFilter, ("error", admin.EmptyFieldListFilter)]
    list_per_page = 50
    ordering = ("-pk",)
    search_fields = ("object_pk__exact",)
    search_help_text = gettext_lazy("Primary key of the row, or source:key.")
    show_full_result_count = False
    actions = ("try_again",)
    fieldsets: ClassVar = [
        (None, {"fields": ["large_picture", "subject", "product", "filter_values"]}),
        (gettext_lazy("Work"), {"fields": _WORK}),
        (gettext_lazy("Versions"), {"fields": _VERSIONS, "classes": ["collapse"]}),
    ]

    @property
    def media(self) -> Media:
        """Django's own and the style of the states."""
        return super().media + STYLE

    # Nobody writes here but the worker

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:
        """Never; who may change entries by Django's permission may have them tried again."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:
        """Never: reconcile forgets what is gone."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Entry | None = None) -> list[str]:
        """All that is shown."""
        return flatten_fieldsets(self.fieldsets)

    # The list

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list under a summary of all entries and the open rebuild."""
        if request.method == "GET" and self.has_view_permission(request):
            rebuild = Rebuild.objects.filter(open=True).first()
            extra_context = {
                **(extra_context or {}),
                "backlog": measure_backlog(),
                "progress": measure_rebuild(rebuild) if rebuild else None,
                "worker": tell_worker(),
                "may_reindex": self.has_retry_permission(request),
            }
        return super().changelist_view(request, extra_context)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The page of entries, each with what it stands for."""
        page = super().get_changelist_instance(request)
        self._attach(list(page.result_list), request)
        return page

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Entry | None:
        """One entry with what it stands for."""
        entry = super().get_object(request, object_id, from_field)
        if entry is not None:
            self._attach([entry], request)
        return entry

    def _attach(self, entries: Sequence[Entry], request: HttpRequest) -> None:
        found = load_subjects(entries, site=self.admin_site, request=request)
        for entry in entries:
            attach(entry, found[entry.key])

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Entry], search_term: str
    ) -> tuple[QuerySet[Entry], bool]:
        """Also understands `source:key` and UUIDs with dashes."""
        source, _colon, key = search_term.strip().rpartition(":")
        if source:
            queryset = queryset.filter(source=source)
        with contextlib.suppress(ValueError):
            key = uuid.UUID(key).hex if "-" in key else key
        return super().get_search_results(request, queryset, key)

    @admin.action(description=gettext_lazy("Try again"), permissions=["retry"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Entry]) -> None:
        """Make the selected entries due now."""
        self.retry(request, queryset)

    # Columns

    @admin.display(description=gettext_lazy("picture"))
    def thumbnail(self, obj: Entry) -> SafeString:
        """Small."""
        return thumbnail(obj, subject_of(obj))

    @admin.display(description=gettext_lazy("object"), ordering="object_pk")
    def subject(self, obj: Entry) -> SafeString:
        """Its title, linked to the shop's own page of it."""
        return object_link(obj, subject_of(obj))

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def standing(self, obj: Entry) -> SafeString:
        """The state as a coloured word, with the attempts that failed and when the next is."""
        facts = []
        if obj.attempts:
            facts.append(ngettext("%d attempt", "%d attempts", obj.attempts) % obj.attempts)
        if obj.due_at and obj.due_at > timezone.now():
            facts.append(_("again in %(time)s") % {"time": timeuntil(obj.due_at, depth=1)})
        notes = format_html_join(
            "", '<span class="mmsearch-quiet">{}</span>', ((f,) for f in facts)
        )
        return badge(obj.state) + notes

    @admin.display(description=gettext_lazy("error"))
    def problem(self, obj: Entry) -> SafeString:
        """The start of it."""
        return shorten(obj.explanation)

    @admin.display(description=gettext_lazy("indexed"), ordering="indexed_at")
    def indexed(self, obj: Entry) -> SafeString | str:
        """How long ago; the time under the pointer."""
        if obj.indexed_at is None:
            return ""
        ago = _("just now")
        if timezone.now() - obj.indexed_at >= timedelta(minutes=1):
            ago = _("%(time)s ago") % {"time": timesince(obj.indexed_at, depth=1)}
        stamp = date_format(timezone.localtime(obj.indexed_at), "DATETIME_FORMAT")
        return format_html('<span title="{}">{}</span>', stamp, ago)

    # One entry

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """All facts of an entry, with the button to try again."""
        more = {"may_reindex": self.has_retry_permission(request), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, more)

    @admin.display(description=gettext_lazy("picture"))
    def large_picture(self, obj: Entry) -> SafeString:
        """Large, leading to the file."""
        return render_picture(obj, subject_of(obj))

    @admin.display(description=gettext_lazy("error"))
    def explanation(self, obj: Entry) -> str:
        """The whole of it."""
        return obj.explanation

    @admin.display(description=gettext_lazy("product"))
    def product(self, obj: Entry) -> SafeString:
        """The product that the picture shows, with a way to search by it."""
        product = subject_of(obj).product
        if product is None:
            return SafeString("–")
        key = registry.get(obj.source).product_key(product)
        address = self.link("mmsearch_inspect") + "?" + urlencode({"like": key})
        return format_html('{} · <a href="{}">{}</a>', product, address, _("what is like it?"))

    @admin.display(description=gettext_lazy("filters"))
    def filter_values(self, obj: Entry) -> SafeString:
        """What the row says now to every filter."""
        lines = format_html_join(SafeString("<br>"), "{}: {}", subject_of(obj).filters)
        return lines or SafeString("–")
