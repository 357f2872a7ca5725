"""Messages in the language of whoever reads them, also if they were stored earlier."""

from __future__ import annotations

import re
from decimal import Decimal

from django.utils.formats import localize
from django.utils.translation import gettext, gettext_noop, override

__all__ = ["in_english", "too_large_message", "translate_stored", "write_number"]

_KNOWN = (
    gettext_noop("The file is missing: %(file)s"),
    gettext_noop("This file is too large: at most %(size)s."),
)
"""Messages in the ledger that contain a value."""


def write_number(number: float, form: str) -> str:
    """Round a number by a format such as ".3g"; write it as the active language does."""
    return localize(Decimal(format(number, form)))


def too_large_message(max_bytes: int) -> str:
    """Return the message about a file with more than `max_bytes`, in the active language."""
    size = gettext("%(number)s MB") % {"number": write_number(max_bytes / 2**20, ".3g")}
    return gettext("This file is too large: at most %(size)s.") % {"size": size}


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
