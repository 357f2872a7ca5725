"""What the admin shows of an entry: its row, picture, link, state; everything is escaped."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from mmsearch_app.models import Entry, State
from mmsearch_app.sources import ImageSource, entry_key, registry

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
    from django.http import HttpRequest

__all__ = [
    "Subject",
    "attach",
    "badge",
    "badges",
    "change_url",
    "load_subjects",
    "object_link",
    "portray",
    "render_picture",
    "shorten",
    "subject_of",
    "thumbnail",
]

log = logging.getLogger(__name__)
_UNSHOWN = {State.EMPTY, State.REJECTED, State.REMOVED}
"""States in which the file is missing, or may be one that no browser should open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The row that an entry stands for; all of it empty where the row is gone."""

    row: Model | None = None
    product: Model | None = None
    title: str = ""
    image_url: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    change_url: str = ""
    """The row's own change page, where the viewer may open it."""


def load_subjects(
    entries: Sequence[Entry], *, site: AdminSite, request: HttpRequest
) -> dict[str, Subject]:
    """The subjects of all entries by their keys, in one query a source (and relation).

    Rows that may not be indexed (unpublished ones) are found as well.
    """
    found: dict[str, Subject] = {}
    for source, pks in registry.group((entry.source, entry.object_pk) for entry in entries):
        rows = source.model._base_manager.filter(pk__in=source.valid_keys(pks))
        for row in source.fetch(rows):
            url = change_url(row, site=site, request=request)
            found[entry_key(source.name, row.pk)] = portray(source, row, change_url=url)
    return {entry.key: found.get(entry.key, Subject()) for entry in entries}


def attach(entry: Entry, subject: Subject) -> None:
    """Let the entry carry its subject as long as the page is made."""
    vars(entry)["subject"] = subject


def subject_of(entry: Entry) -> Subject:
    """What was attached to the entry."""
    found: Subject = vars(entry).get("subject", Subject())
    return found


def portray(source: ImageSource, row: Model, *, change_url: str = "") -> Subject:
    """What a row says; a shop's property or storage that fails costs that row's facts only."""
    try:
        file = source.get_file(row)
        product = source.get_product(row)
        return Subject(
            row=row,
            product=product,
            title=source.get_title(row) or str(product or row),
            image_url=file.url if file else "",
            filters=tuple(
                (name, ", ".join(map(str, values)))
                for name, values in source.get_filters(row).items()
            ),
            change_url=change_url,
        )
    except Exception:
        log.exception("%r cannot be read by %r", row.pk, source)
        return Subject(row=row, title=f"{row._meta.verbose_name} {row.pk}", change_url=change_url)


def change_url(row: Model, *, site: AdminSite, request: HttpRequest) -> str:
    """Address of the row's change page, or "" where there is none or it is not permitted."""
    meta = row._meta
    try:
        if not site.get_model_admin(type(row)).has_view_or_change_permission(request, row):
            return ""
        name = f"{site.name}:{meta.app_label}_{meta.model_name}_change"
        return reverse(name, args=[quote(row.pk)])
    except (NotRegistered, NoReverseMatch):
        return ""


def thumbnail(entry: Entry, subject: Subject) -> SafeString:
    """The row's picture, small; words where there is none that can be shown."""
    if not subject.image_url or entry.state in _UNSHOWN:
        return format_html('<span class="mmsearch-nothing">{}</span>', _("no picture"))
    return format_html(
        '<img class="mmsearch-thumbnail" src="{}" alt="{}" width="56" height="56" '
        'loading="lazy" decoding="async">',
        subject.image_url,
        subject.title,
    )


def render_picture(entry: Entry, subject: Subject) -> SafeString:
    """The row's picture, large, leading to the file; words where there is none to be shown."""
    if entry.state == State.REJECTED and subject.image_url:
        return format_html('<a href="{}">{}</a>', subject.image_url, _("the file as it is"))
    if not subject.image_url or entry.state in _UNSHOWN:
        return thumbnail(entry, subject)
    return format_html(
        '<a href="{0}"><img class="mmsearch-picture" src="{0}" alt="{1}"></a>',
        subject.image_url,
        subject.title,
    )


def object_link(entry: Entry, subject: Subject) -> SafeString:
    """The row's title, leading to its own page in the admin, over the entry's key."""
    title = subject.title or (_("deleted") if entry.source in registry else _("not registered"))
    if subject.change_url:
        shown = format_html('<a href="{}">{}</a>', subject.change_url, title)
    else:
        shown = format_html("<span>{}</span>", title)
    breakable = format_html_join(SafeString("<wbr>"), "{}", ((part,) for part in _parts(entry.key)))
    return format_html('{}<span class="mmsearch-quiet">{}</span>', shown, breakable)


def _parts(key: str) -> list[str]:
    """The key cut after its dots and colons, where a line may end."""
    return re.split(r"(?<=[.:])", key)


def badge(state: str, *, note: str = "") -> SafeString:
    """A state as a coloured word."""
    label = State(state).label if state in State.values else state
    return format_html(
        '<span class="mmsearch-badge mmsearch-badge--{}">{}{}</span>', state, label, note
    )


def shorten(error: str, *, length: int = 90) -> SafeString:
    """The start of an error; the whole under the pointer."""
    if not error:
        return SafeString("")
    return format_html(
        '<span class="mmsearch-error" title="{}">{}</span>', error, Truncator(error).chars(length)
    )


def _count(entries: Iterable[Entry]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for entry in entries:
        counts[entry.state] += 1
    return counts


def badges(entries: Sequence[Entry]) -> SafeString:
    """The states of several pictures of one thing, and the first error."""
    counts = _count(entries)
    shown: Any = SafeString("")
    for state in sorted(counts, key=State.values.index):
        note = f" × {counts[state]}" if len(entries) > 1 else ""
        shown += badge(state, note=note) + SafeString(" ")
    error = next((entry.explanation for entry in entries if entry.error), "")
    return format_html("{}{}", shown, shorten(error, length=60))
