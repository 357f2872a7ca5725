"""HTML for the columns of the admin: image, link, state, error. Everything is escaped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
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
from mmsearch_app.sources import (
    ImageSource,
    entry_key,
    file_url_of,
    image_url_of,
    product_of,
    read_safely,
    registry,
    title_of,
)

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
    from django.http import HttpRequest

_ATTRIBUTE = "mmsearch_subject"
_UNSHOWN = {State.EMPTY, State.REJECTED, State.REMOVED}
"""States in which the file is missing or unsafe to open in a browser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The row behind an entry; empty if the row no longer exists."""

    row: Model | None = None
    product: Model | None = None
    title: str = ""
    image_url: str = ""
    """Of a small picture in most shops."""
    file_url: str = ""
    """Of the whole file."""
    filters: tuple[tuple[str, str], ...] = ()
    change_url: str = ""
    """The row's change page, or "" if the viewer may not open it."""


def load_subjects(
    entries: Sequence[Entry], *, site: AdminSite, request: HttpRequest
) -> dict[str, Subject]:
    """Load the rows behind `entries`, by entry key: one query per source and relation.

    Includes rows that may not be indexed, such as unpublished ones.
    """
    found: dict[str, Subject] = {}
    for source, pks in registry.group((entry.source, entry.object_pk) for entry in entries):
        rows = source.model._base_manager.filter(pk__in=source.valid_keys(pks))
        for row in source.fetch(rows):
            url = change_url(row, site=site, request=request)
            found[entry_key(source.name, row.pk)] = portray(source, row, change_url=url)
    return {entry.key: found.get(entry.key, Subject()) for entry in entries}


def attach(entry: Entry, subject: Subject) -> None:
    """Store the subject on the entry, as `Prefetch(to_attr=…)` would, while a page is rendered."""
    setattr(entry, _ATTRIBUTE, subject)


def subject_of(entry: Entry) -> Subject:
    found: Subject = getattr(entry, _ATTRIBUTE, Subject())
    return found


def portray(source: ImageSource, row: Model, *, change_url: str = "") -> Subject:
    """Read the row's facts. If the shop's code raises, only that fact is missing."""
    product = product_of(source, row)
    return Subject(
        row=row,
        product=product,
        title=title_of(source, row, product or row),
        image_url=image_url_of(source, row),
        file_url=file_url_of(source, row),
        filters=read_safely(source, "get_filters", lambda: _write_filters(source, row), ()),
        change_url=change_url,
    )


def _write_filters(source: ImageSource, row: Model) -> tuple[tuple[str, str], ...]:
    found = source.get_filters(row)
    return tuple((name, ", ".join(map(str, values))) for name, values in found.items())


def change_url(row: Model, *, site: AdminSite, request: HttpRequest) -> str:
    """Return the URL of the row's change page, or "" if there is none or it is not permitted."""
    meta = row._meta
    try:
        if not site.get_model_admin(type(row)).has_view_or_change_permission(request, row):
            return ""
        name = f"{site.name}:{meta.app_label}_{meta.model_name}_change"
        return reverse(name, args=[quote(row.pk)])
    except (NotRegistered, NoReverseMatch):
        return ""


def thumbnail(entry: Entry, subject: Subject) -> SafeString:
    if not subject.image_url or entry.state in _UNSHOWN:
        return format_html('<span class="mmsearch-nothing">{}</span>', _("no picture"))
    return format_html(
        '<img class="mmsearch-thumbnail" src="{}" alt="{}" width="56" height="56" '
        'loading="lazy" decoding="async">',
        subject.image_url,
        subject.title,
    )


def render_picture(entry: Entry, subject: Subject) -> SafeString:
    """Return the image in full size, linked to its file, or a text if it cannot be shown."""
    if entry.state == State.REJECTED and subject.file_url:
        return format_html('<a href="{}">{}</a>', subject.file_url, _("the file as it is"))
    if not subject.file_url or entry.state in _UNSHOWN:
        return thumbnail(entry, subject)
    return format_html(
        '<a href="{0}"><img class="mmsearch-picture" src="{0}" alt="{1}"></a>',
        subject.file_url,
        subject.title,
    )


def object_link(entry: Entry, subject: Subject) -> SafeString:
    """Return the row's title, linked to its change page, above the entry's key."""
    title = subject.title or (_("deleted") if entry.source in registry else _("not registered"))
    if subject.change_url:
        shown = format_html('<a href="{}">{}</a>', subject.change_url, title)
    else:
        shown = format_html("<span>{}</span>", title)
    breakable = format_html_join(SafeString("<wbr>"), "{}", ((part,) for part in _parts(entry.key)))
    return format_html('{}<span class="mmsearch-quiet">{}</span>', shown, breakable)


def _parts(key: str) -> list[str]:
    """Split the key after dots and colons, where a line may break."""
    return re.split(r"(?<=[.:])", key)


def badge(state: str, *, note: str = "") -> SafeString:
    label = State(state).label if state in State.values else state
    return format_html(
        '<span class="mmsearch-badge mmsearch-badge--{}">{}{}</span>', state, label, note
    )


def shorten(error: str, *, length: int = 90) -> SafeString:
    """Return the start of an error; the tooltip shows all of it."""
    if not error:
        return SafeString("")
    return format_html(
        '<span class="mmsearch-error" title="{}">{}</span>', error, Truncator(error).chars(length)
    )


def badges(entries: Sequence[Entry]) -> SafeString:
    """Return how many of the entries are in each state, and the first error."""
    counts = Counter(entry.state for entry in entries)
    shown: Any = SafeString("")
    for state in sorted(counts, key=State.values.index):
        note = f" × {counts[state]}" if len(entries) > 1 else ""
        shown += badge(state, note=note) + SafeString(" ")
    error = next((entry.explanation for entry in entries if entry.error), "")
    return format_html("{}{}", shown, shorten(error, length=60))
