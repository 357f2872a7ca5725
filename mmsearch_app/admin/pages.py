"""Further admin pages: rebuild with progress, retry, search inspector."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
    QueryDict,
)
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mmsearch_app.admin.cells import change_url
from mmsearch_app.admin.inspector import Inspection, InspectorForm, run_inspection
from mmsearch_app.admin.mixin import STYLE
from mmsearch_app.admin.progress import describe_worker, measure_rebuild
from mmsearch_app.indexes import IndexFault
from mmsearch_app.indexing import ledger, notify, rebuild
from mmsearch_app.models import Entry, Rebuild
from mmsearch_app.searching import InvalidQuery, SearchUnavailable, tickets

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Entry]
else:
    _ModelAdmin = admin.ModelAdmin

log = logging.getLogger(__name__)
_PAST_REBUILDS = 5


class EntryPages(_ModelAdmin):
    """The pages below the list of entries."""

    def get_urls(self) -> list[URLPattern]:
        """Put these pages first: the admin's last pattern takes any path for a primary key."""
        wrap = self.admin_site.admin_view
        own = [
            path("reindex/", wrap(self.reindex_view), name="mmsearch_reindex"),
            path("reindex/progress/", wrap(self.progress_view), name="mmsearch_progress"),
            path("inspect/", wrap(self.inspect_view), name="mmsearch_inspect"),
            path("<path:object_id>/retry/", wrap(self.retry_view), name="mmsearch_retry"),
        ]
        return [*own, *super().get_urls()]

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may retry entries and rebuild the index."""
        return bool(request.user.has_perm("mmsearch_app.change_entry"))

    def page_context(self, request: HttpRequest, title: str, **more: Any) -> dict[str, Any]:
        """Return the context that every admin page needs."""
        request.current_app = self.admin_site.name
        return {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "media": STYLE,
            "may_reindex": self.has_retry_permission(request),
            **more,
        }

    def _require(self, *, permitted: bool) -> None:
        if not permitted:
            raise PermissionDenied

    def link(self, name: str, *args: Any) -> str:
        return reverse(f"{self.admin_site.name}:{name}", args=args)

    # Rebuild

    def reindex_view(self, request: HttpRequest) -> HttpResponse:
        """GET asks for confirmation or shows the progress; POST requests a rebuild."""
        self._require(permitted=self.has_retry_permission(request))
        if request.method == "POST":
            self._request_rebuild(request)
            return HttpResponseRedirect(self.link("mmsearch_reindex"))
        rebuilds = list(Rebuild.objects.order_by("-pk")[: _PAST_REBUILDS + 1])
        current = next((row for row in rebuilds if row.open), None)
        context = self.page_context(
            request,
            _("Reindex everything"),
            progress=measure_rebuild(current) if current else None,
            current=current,
            past=[row for row in rebuilds if not row.open][:_PAST_REBUILDS],
            pictures=Entry.objects.filter(present=True).count(),
            worker=describe_worker(),
        )
        return TemplateResponse(request, "admin/mmsearch_app/reindex.html", context)

    def _request_rebuild(self, request: HttpRequest) -> None:
        running = Rebuild.objects.filter(open=True).exists()
        row = rebuild.request_rebuild()
        if running:
            self.message_user(request, _("A rebuild is under way already."), messages.INFO)
            return
        notify.after_commit()
        text = _("Asked for a rebuild of the search index.")
        self.log_addition(request, row, text)  # type: ignore[arg-type]
        text = _("A new index is being built; visitors search the old one until it is done.")
        self.message_user(request, f"{text} {describe_worker()}", messages.SUCCESS)

    def progress_view(self, request: HttpRequest) -> HttpResponse:
        """Return the newest rebuild as JSON, for the page's script."""
        self._require(permitted=self.has_view_permission(request))
        row = Rebuild.objects.order_by("-pk").first()
        if row is None:
            raise Http404(_("There was no rebuild yet."))
        return JsonResponse(measure_rebuild(row).document())

    # Retry

    def retry_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        self._require(permitted=self.has_retry_permission(request))
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        entry = self.get_object(request, unquote(object_id))
        if entry is None:
            raise Http404(_("There is no such entry."))
        self.retry(request, Entry.objects.filter(pk=entry.pk))
        return HttpResponseRedirect(self.link("mmsearch_app_entry_change", entry.pk))

    def retry(self, request: HttpRequest, entries: Any) -> None:
        count = ledger.retry(entries)
        notify.after_commit()
        text = ngettext(
            "%(count)d to be tried again now.", "%(count)d to be tried again now.", count
        ) % {"count": count}
        self.message_user(request, f"{text} {describe_worker()}", messages.SUCCESS)

    # Inspector

    @transaction.non_atomic_requests
    def inspect_view(self, request: HttpRequest) -> HttpResponse:
        """Search as a visitor would. No transaction is open while a model works."""
        self._require(permitted=self.has_view_permission(request))
        asked = (request.POST if request.method == "POST" else request.GET).copy()
        form = InspectorForm(asked or None, request.FILES or None)
        inspection, problem = None, ""
        if form.is_bound and form.is_valid():
            try:
                inspection = run_inspection(
                    form.build_query(request), product=form.cleaned_data["compare"]
                )
            except tickets.TicketError as error:
                asked.pop("query")
                form.add_error(None, str(error))
            except InvalidQuery as error:
                form.add_error(_field_of(error, form), str(error))
            except (SearchUnavailable, IndexFault) as error:
                problem = str(error)
        context = self.page_context(
            request, _("Search inspector"), form=form, inspection=inspection, problem=problem
        )
        if inspection:
            context |= self._keep_picture(asked, inspection) | self._rows(request, inspection)
        return TemplateResponse(request, "admin/mmsearch_app/inspect.html", context)

    def _keep_picture(self, asked: QueryDict, inspection: Inspection) -> dict[str, Any]:
        """Keep the query image for the next query."""
        query = inspection.answer.query
        if query is None or query.image is None:
            return {}
        asked["query"] = token = tickets.issue(inspection.answer)
        try:
            return {"picture_url": reverse("mmsearch:picture", args=[token]), "token": token}
        except NoReverseMatch:  # the shop does not include mmsearch_app.urls
            return {"token": token}

    def _rows(self, request: HttpRequest, inspection: Inspection) -> dict[str, Any]:
        site = self.admin_site
        return {
            "rows": [
                (finding, change_url(finding.hit.product, site=site, request=request))
                for finding in inspection.findings
            ]
        }


def _field_of(error: InvalidQuery, form: InspectorForm) -> str | None:
    """Return the form field that the error is about; all filters share one field."""
    if not error.field:
        return None
    return error.field if error.field in form.fields else "filters"
