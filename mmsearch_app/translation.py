"""Messages in the language, and times in the zone, of whoever reads them."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

from django.utils import timezone
from django.utils.formats import localize
from django.utils.translation import gettext, gettext_noop, ngettext, override

__all__ = [
    "in_english",
    "local_time",
    "too_large_message",
    "too_many_pixels_message",
    "too_often_message",
    "translate_stored",
    "write_number",
]

_KNOWN = (
    gettext_noop("The file is missing: %(file)s"),
    gettext_noop("This file is too large: at most %(size)s."),
    gettext_noop("This picture has too many pixels: as %(kind)s at most %(number)s megapixels."),
)
"""Messages in the ledger that contain a value."""


def write_number(number: float, form: str) -> str:
    """Round a number by a format such as ".3g"; write it as the active language does."""
    return localize(Decimal(format(number, form)))


def too_large_message(max_bytes: int) -> str:
    """Return the message about a file with more than `max_bytes`, in the active language."""
    size = gettext("%(number)s MB") % {"number": write_number(max_bytes / 2**20, ".3g")}
    return gettext("This file is too large: at most %(size)s.") % {"size": size}


def too_many_pixels_message(most: float, kind: str) -> str:
    """Return the message about an image with more than `most` pixels in the format `kind`."""
    text = gettext("This picture has too many pixels: as %(kind)s at most %(number)s megapixels.")
    return text % {"kind": kind, "number": write_number(most / 1e6, ".3g")}


def too_often_message(seconds: int) -> str:
    """Return the message about too many searches of one visitor, in the active language."""
    text = ngettext(
        "Too many searches: please wait %(seconds)d second.",
        "Too many searches: please wait %(seconds)d seconds.",
        seconds,
    )
    return text % {"seconds": seconds}


def in_english(error: Exception) -> str:
    """Return an error's text for logs, the ledger and other machines: untranslated."""
    with override(None):
        return str(error)


def translate_stored(error: str) -> str:
    """Translate a message of the ledger into the active language, if it is one of ours."""
    for template in _KNOWN:
        pattern = re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+)", re.escape(template))
        if found := re.fullmatch(pattern, error):
            return gettext(template) % found.groupdict()
    return gettext(error)


def local_time(when: datetime) -> datetime:
    """Return the time in the active time zone, or as it is if the shop uses no time zones."""
    return timezone.localtime(when) if timezone.is_aware(when) else when
