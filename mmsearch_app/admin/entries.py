"""The list of index entries, and the page of one entry. Read-only, but for retries."""

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
from mmsearch_app.admin.mixin import STYLE
from mmsearch_app.admin.pages import EntryPages
from mmsearch_app.admin.progress import describe_worker, measure_backlog, measure_rebuild
from mmsearch_app.models import Entry, Rebuild
from mmsearch_app.sources import label_of, registry
from mmsearch_app.translation import local_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.contrib.admin.views.main import ChangeList
    from django.forms import Media

_WORK = ("standing", "explanation", "attempts", "due_at", "lease_until", "marked_at", "indexed_at")
_VERSIONS = ("present", "wanted", "generation", "digest", "content", "signature")
_REBUILD = ("staged", "staged_in")


class SourceFilter(admin.SimpleListFilter):
    """Filters by registered source, without a query for the choices."""

    title = gettext_lazy("source")
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((source.name, source.name) for source in registry), ("-", _("not registered"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        if self.value() == "-":
            return queryset.exclude(source__in=[source.name for source in registry])
        return queryset.filter(source=self.value()) if self.value() else queryset


@admin.register(Entry)
class EntryAdmin(EntryPages):
    """Shows the ledger. Nothing can be edited; entries can be retried."""

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
        (gettext_lazy("Versions"), {"fields": (*_VERSIONS, *_REBUILD), "classes": ["collapse"]}),
    ]

    @property
    def media(self) -> Media:
        return super().media + STYLE

    # Only the worker writes entries

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:
        """Return False: the permission to change entries only allows to retry them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:
        """Return False: reconcile deletes the entries of deleted rows."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Entry | None = None) -> list[str]:
        return flatten_fieldsets(self.fieldsets)

    # The list

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add a summary of all entries and the open rebuild."""
        if request.method == "GET" and self.has_view_permission(request):
            rebuild = Rebuild.objects.filter(open=True).first()
            extra_context = {
                **(extra_context or {}),
                "backlog": measure_backlog(),
                "progress": measure_rebuild(rebuild) if rebuild else None,
                "worker": describe_worker(),
                "may_reindex": self.has_retry_permission(request),
            }
        return super().changelist_view(request, extra_context)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Load the rows behind the entries of this page."""
        page = super().get_changelist_instance(request)
        self._attach(list(page.result_list), request)
        return page

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Entry | None:
        """Load the row behind the entry."""
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
        """Accept `source:key` and UUIDs with dashes as well."""
        source, _colon, key = search_term.strip().rpartition(":")
        if source:
            queryset = queryset.filter(source=source)
        with contextlib.suppress(ValueError):
            key = uuid.UUID(key).hex if "-" in key else key
        return super().get_search_results(request, queryset, key)

    @admin.action(description=gettext_lazy("Try again"), permissions=["retry"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Entry]) -> None:
        self.retry(request, queryset)

    # Columns

    @admin.display(description=gettext_lazy("picture"))
    def thumbnail(self, obj: Entry) -> SafeString:
        return thumbnail(obj, subject_of(obj))

    @admin.display(description=gettext_lazy("object"), ordering="object_pk")
    def subject(self, obj: Entry) -> SafeString:
        return object_link(obj, subject_of(obj))

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def standing(self, obj: Entry) -> SafeString:
        """Return the state, with the number of failed attempts and the time of the next one."""
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
        return shorten(obj.explanation)

    @admin.display(description=gettext_lazy("indexed"), ordering="indexed_at")
    def indexed(self, obj: Entry) -> SafeString | str:
        if obj.indexed_at is None:
            return ""
        ago = _("just now")
        if timezone.now() - obj.indexed_at >= timedelta(minutes=1):
            ago = _("%(time)s ago") % {"time": timesince(obj.indexed_at, depth=1)}
        stamp = date_format(local_time(obj.indexed_at), "DATETIME_FORMAT")
        return format_html('<span title="{}">{}</span>', stamp, ago)

    # One entry

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        more = {"may_reindex": self.has_retry_permission(request), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, more)

    @admin.display(description=gettext_lazy("picture"))
    def large_picture(self, obj: Entry) -> SafeString:
        return render_picture(obj, subject_of(obj))

    @admin.display(description=gettext_lazy("error"))
    def explanation(self, obj: Entry) -> str:
        return obj.explanation

    @admin.display(description=gettext_lazy("product"))
    def product(self, obj: Entry) -> SafeString:
        """Return the product, with a link that searches for similar ones."""
        product = subject_of(obj).product
        if product is None:
            return SafeString("–")
        source = registry.get(obj.source)
        address = self.link("mmsearch_inspect")
        address += "?" + urlencode({"like": source.product_key(product)})
        name = label_of(source, product)
        return format_html('{} · <a href="{}">{}</a>', name, address, _("what is like it?"))

    @admin.display(description=gettext_lazy("filters"))
    def filter_values(self, obj: Entry) -> SafeString:
        lines = format_html_join(SafeString("<br>"), "{}: {}", subject_of(obj).filters)
        return lines or SafeString("–")
