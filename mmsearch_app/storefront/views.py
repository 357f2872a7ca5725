"""The search page: by link or form, with or without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.cache import patch_cache_control
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_safe
from django.views.generic.base import ContextMixin, TemplateResponseMixin, View

from mmsearch_app.conf import get_settings
from mmsearch_app.images import UploadTooLarge, cap_uploads, encode_jpeg
from mmsearch_app.searching import (
    Answer,
    Busy,
    InvalidQuery,
    Query,
    SearchUnavailable,
    answer,
    apply_known,
    build_query,
    canonical_jpeg,
    check_admission,
    is_offered,
    seconds_to_wait,
    tickets,
)
from mmsearch_app.storefront.facets import Visitor, applied, facets
from mmsearch_app.storefront.forms import SearchForm, refer
from mmsearch_app.storefront.suggestions import SUGGESTIONS, Chip, Suggestion, suggest
from mmsearch_app.translation import too_often_message


class TooOften(SearchUnavailable):
    """This visitor has searched too often."""


class SeeOther(HttpResponseRedirect):
    status_code = 303


@method_decorator([transaction.non_atomic_requests, csrf_exempt], name="dispatch")
class SearchView(TemplateResponseMixin, ContextMixin, View):
    """The search page. A shop may subclass it and route its own.

    GET searches by address, which can be shared. POST uploads an image; without one it
    redirects to the address of the same search, so that a form without JavaScript also ends at
    a link. No transaction is open while a model works. CSRF is checked inside `dispatch`, after
    uploads are capped, because the check reads the body.
    """

    template_name = "mmsearch/search.html"
    suggestions: ClassVar[Sequence[Suggestion]] = SUGGESTIONS

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not hasattr(self, (request.method or "").lower()):
            return self.http_method_not_allowed(request)
        with suppress(AttributeError):  # a middleware has read the body, within its own limits
            cap_uploads(request, max_bytes=get_settings().MAX_IMAGE_BYTES)
        try:
            return csrf_protect(super().dispatch)(request, *args, **kwargs)  # type: ignore[return-value]
        except UploadTooLarge as error:
            fault = InvalidQuery(str(error), field="image")
            return self.show(SearchForm(request.GET), fault=fault, status=413)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer a link; without parameters show the start page."""
        return self.respond(SearchForm(request.GET))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer an upload; redirect any other search to its address."""
        form = SearchForm(request.POST, request.FILES)
        return self.respond(form) if form.files.get("image") else SeeOther(form.link())

    def respond(self, form: SearchForm) -> HttpResponse:
        """Search, and show the result or the error with the right status."""
        if form.is_blank:
            return self.show(form)
        query = None
        try:
            if form.files or not form.value("rerank"):  # a late order is not another search
                self.admit()
            query = self.build_query(form)
            return self.answer(form, query)
        except tickets.TicketError as fault:
            return self.show(form.change(query=None), fault=fault, status=410)
        except InvalidQuery as fault:
            if fault.field == "like":
                return self.show(form.change(like=None), fault=fault, status=404)
            return self.show(form, fault=fault, status=400)
        except SearchUnavailable as fault:
            status = 429 if isinstance(fault, TooOften) else 503
            response = self.show(
                form, answer=Answer(query=query), unavailable=True, notice=str(fault), status=status
            )
            response.headers["Retry-After"] = str(fault.retry_after)
            return response

    def admit(self) -> None:
        """Count the search. Raises TooOften, and Busy if it would wait too long."""
        if wait := seconds_to_wait(self.request, user=getattr(self.request, "user", None)):
            raise TooOften(too_often_message(wait), retry_after=wait)
        check_admission(self.request)

    def answer(self, form: SearchForm, query: Query) -> HttpResponse:
        """Show the hits in the better order if it is requested or known, else as indexed.

        If the reranker's queue is full, the status is 503 with `Retry-After`, and the hits are
        shown as indexed. Raises SearchUnavailable.
        """
        wait = None
        if token := form.value("rerank"):
            try:
                if better := _improve(token, query):
                    return self.show(form, answer=better)
            except Busy as fault:
                wait = fault.retry_after
            self.admit()
        found = apply_known(answer(replace(query, rerank=False)))
        response = self.show(form, answer=found, status=503 if wait else 200)
        if wait:
            response.headers["Retry-After"] = str(wait)
        return response

    def build_query(self, form: SearchForm) -> Query:
        """Return the form's query, checked. Raises InvalidQuery."""
        given, user = form.read(), getattr(self.request, "user", None)
        image: Any = given.image
        kept = None
        if image is None and given.query:
            kept = tickets.redeem(given.query, user=user, request=self.request)
            image = kept.image
        query = build_query(
            text=given.text,
            image=image,
            like=given.like if image is None else None,
            without=given.without,
            filters=form.filters,
            offset=form.offset,
            user=user,
            request=self.request,
        )
        return _reuse(query, kept)

    def show(
        self,
        form: SearchForm,
        *,
        answer: Answer | None = None,
        fault: InvalidQuery | None = None,
        unavailable: bool = False,
        notice: str = "",
        status: int = 200,
    ) -> HttpResponse:
        """Render the page.

        With `unavailable`, `answer` has the query but no hits, so that the page keeps it, and
        `notice` says why. No facets are looked up then: the answer must be quick.
        """
        offered = answer is not None and is_offered(answer)
        has_image = answer and answer.query and answer.query.image is not None
        token = tickets.issue(answer) if answer and (offered or has_image) else ""
        if has_image:  # the page's links and its form repeat the image by the token
            form = form.change(query=token, like=None)
        context = self.get_context_data(
            form=form,
            answer=answer,
            fault=fault,
            unavailable=unavailable,
            notice=notice,
            better_url=form.link({"rerank": token}) if offered else "",
            late=bool(form.value("rerank")),
        )
        response = self.render_to_response(context, status=status)
        patch_cache_control(response, private=True)
        if answer or fault:  # the links to further searches never end, and each runs a model
            response.headers["X-Robots-Tag"] = "noindex, nofollow"
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the templates need; a shop may add to it."""
        form: SearchForm = kwargs["form"]
        found: Answer | None = kwargs["answer"]
        query = found.query if found else None
        visitor = Visitor(user=getattr(self.request, "user", None), request=self.request)
        wanted = (found or kwargs["fault"] or form.filters) and not kwargs["unavailable"]
        shown = facets(form, visitor) if wanted else []
        return super().get_context_data(
            **kwargs,
            posted=self.request.method == "POST",
            address=form.link({"offset": form.offset or None}),
            facets=shown,
            applied=applied(form, shown),
            reference=refer(form, query),
            chips=self.suggest(form, query),
            **page_links(form, found),
        )

    def suggest(self, form: SearchForm, query: Query | None) -> list[Chip]:
        """Return chips for "like this, but …", if the search has an image or a product."""
        if not query or (query.image is None and query.like is None):
            return []
        return suggest(form.parameters, suggestions=self.suggestions, like=query.like)


def _reuse(query: Query, kept: Query | None) -> Query:
    """Take over the kept query's image, which carries its bytes, and its vector if it fits."""
    if kept is None:
        return query
    same_words = (kept.text, kept.without) == (query.text, query.without)
    return replace(query, image=kept.image, vector=kept.vector if same_words else None)


def _improve(token: str, query: Query) -> Answer | None:
    """Return the late order if the token stands for this query, else None. Raises Busy."""
    try:
        if not _is_same(tickets.redeem(token, user=query.user, request=query.request), query):
            return None
        return tickets.rerank_late(token, user=query.user, request=query.request)
    except tickets.TicketError:
        return None


def _is_same(one: Query, other: Query) -> bool:
    names = ("text", "without", "filters", "like", "limit", "offset")
    jpegs = [canonical_jpeg(query.image) if query.image else None for query in (one, other)]
    return jpegs[0] == jpegs[1] and all(getattr(one, n) == getattr(other, n) for n in names)


def page_links(form: SearchForm, answer: Answer | None) -> dict[str, str]:
    """Return the addresses of the next and the previous page of an answer, or ""."""
    query = answer.query if answer else None
    if answer is None or query is None:
        return {"next_url": "", "previous_url": ""}
    following = query.offset + len(answer.hits)
    before = max(0, query.offset - query.limit) if answer.hits else 0  # beyond the last page
    goes_on = answer.more and answer.hits and following <= get_settings().MAX_OFFSET
    return {
        "next_url": form.link({"offset": following}) if goes_on else "",
        "previous_url": form.link({"offset": before or None}) if query.offset else "",
    }


search_page = SearchView.as_view()


@require_safe
@never_cache
@transaction.non_atomic_requests
def query_picture(request: HttpRequest, token: str) -> HttpResponse:
    """Return the image that a visitor searched with, encoded again: never the uploaded bytes."""
    try:
        user = getattr(request, "user", None)
        image = tickets.redeem(token, user=user, request=request).image
    except tickets.TicketError as error:
        raise Http404(str(error)) from error
    if image is None:
        raise Http404(_("This search has no picture of its own."))
    response = HttpResponse(encode_jpeg(image, longest_side=320), content_type="image/jpeg")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
