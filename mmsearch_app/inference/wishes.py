"""Read what a visitor's words refuse: "mug without stripes", "rote Tasse, aber nicht gestreift".

Embedders hardly notice a negation: they put "without stripes" beside striped things. So it is
taken out of the words before a model sees them, and acts as the query's `without`. The rule: a
negation refuses what follows it, up to the next comma, negation, "but", "with" or "in".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from django.utils.translation import get_language


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """The words of one language that the rule needs, in small letters."""

    negations: tuple[str, ...]
    """Words and phrases that refuse what follows them."""
    ambiguous: tuple[str, ...] = ()
    """The same, if the text is of this language; in others they are ordinary words."""
    marks: tuple[str, ...] = ()
    """Frequent words by which a text of this language is known."""
    ends: tuple[str, ...] = ()
    """Words that end what is refused."""
    own_ends: tuple[str, ...] = ()
    """The same, if the text is of this language."""


LANGUAGES: Final[Mapping[str, Language]] = {
    "en": Language(
        negations=(
            *("without any", "without", "with no", "no", "but not in", "but not", "and not"),
            *("not in", "not", "isn't", "aren't", "except for", "except", "other than"),
            *("instead of", "rather than", "anything but", "everything but", "minus"),
            *("w/o", "neither", "nor", "excluding"),
        ),
        ends=("but", "with", "in", "for", "please"),
    ),
    "de": Language(
        negations=(
            *("ohne", "aber nicht in", "aber nicht", "und nicht", "nicht in", "nicht"),
            *("keine", "keinen", "keinem", "keiner", "kein", "außer", "ausser", "anstatt"),
            *("keinerlei", "weder"),
        ),
        ends=("aber", "sondern", "mit", "in", "für", "bitte"),
    ),
    "fr": Language(
        negations=(
            *("sans", "mais pas en", "mais pas", "sauf", "au lieu de", "au lieu d'"),
            *("aucun", "aucune"),
        ),
        ambiguous=("pas en", "pas de", "pas d'", "pas", "non", "ni"),
        marks=("de", "la", "le", "les", "un", "une", "des", "du", "avec", "mais", "n'est", "est"),
        ends=("mais", "avec", "pour"),
        own_ends=("en",),
    ),
    "es": Language(
        negations=(
            *("pero no en", "pero no", "excepto", "salvo", "en vez de", "en lugar de"),
            *("ningún", "ninguna"),
        ),
        ambiguous=("sin", "ni", "menos"),
        marks=("de", "la", "el", "los", "las", "un", "una", "con", "pero", "para", "en"),
        ends=("pero", "sino", "con", "para"),
        own_ends=("en",),
    ),
    "it": Language(
        negations=(
            *("senza", "ma non in", "ma non", "tranne", "eccetto", "invece di"),
            *("nessun", "nessuna"),
        ),
        ambiguous=("non in", "non", "né"),
        marks=("di", "la", "il", "lo", "gli", "un", "una", "con", "ma", "per"),
        ends=("ma", "con", "in", "per"),
    ),
    "nl": Language(
        negations=(
            *("zonder", "maar niet in", "maar niet", "en niet", "niet in", "niet", "geen"),
            *("behalve", "in plaats van"),
        ),
        ambiguous=("noch",),
        ends=("maar", "met", "in", "voor"),
    ),
}
_HARMLESS: Final = (
    r"no[ -](?:show|iron|name|slip|stick|sew|tie)\b|no\.? ?\d|not only\b|sans[ -]serif"
    r"|(?:without (?:a )?doubt|ohne zweifel|sans doute|sin duda|senza dubbio|zonder twijfel)\b"
)
"""What begins like a negation and is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """A visitor's words, taken apart."""

    wanted: str
    """The words for the model; "" if all of them refuse something."""
    unwanted: str = ""
    """What is refused, with a comma between several."""


def take_apart(text: str, *, language: str | None = None) -> Wording:
    """Take a query's words apart; a text without a negation is returned as it is.

    If the language is None, it is the one whose frequent words the text has.
    """
    straight = text.replace("’", "'")
    pattern = _pattern(language or _language_of(straight.lower()))
    unwanted = [found["unwanted"] for found in pattern.finditer(straight)]
    if not unwanted:
        return Wording(wanted=text)
    wanted = re.sub(r"\(\s*\)", " ", pattern.sub(" ", straight))
    wanted = " ".join(re.sub(r"\s*,[\s,]*", ", ", wanted).split())
    return Wording(wanted=wanted.strip(" ,;"), unwanted=", ".join(unwanted))


def _language_of(text: str) -> str:
    """Return the language whose frequent words the text has, else that of the visitor's page."""
    words = set(re.findall(r"[\w']+", text))
    marked = {code: len(words.intersection(lang.marks)) for code, lang in LANGUAGES.items()}
    best = max(marked, key=lambda code: marked[code])
    return best if marked[best] else (get_language() or "en")[:2]


@lru_cache(len(LANGUAGES) + 1)
def _pattern(language: str) -> re.Pattern[str]:
    own = LANGUAGES.get(language, Language(negations=()))
    negations = _any_of(
        [*own.ambiguous, *(n for lang in LANGUAGES.values() for n in lang.negations)]
    )
    ends = _any_of([*own.own_ends, *(word for lang in LANGUAGES.values() for word in lang.ends)])
    start = rf"(?<![\w'-])(?!{_HARMLESS})(?:{negations})(?<=['\s])"
    end = rf"\s*(?:[,;.!?()]|(?<=\s)(?:{ends})|(?<=\s)(?:{negations})|$)"
    return re.compile(rf"{start}\s*(?P<unwanted>[^\s,;.!?()].*?)(?={end})", re.IGNORECASE)


def _any_of(phrases: Iterable[str]) -> str:
    """Return a pattern of any phrase and what separates it from the next word; longest first."""
    ordered = sorted(set(phrases), key=len, reverse=True)
    return "|".join(re.escape(p) + ("" if p.endswith("'") else r"\s") for p in ordered)
