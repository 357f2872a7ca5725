"""The words of shoppers in five languages, with their English: `data/words.csv`.

The table has the basic forms; endings are added here. That gives a closed list of some ten
thousand forms a language, which can be compared with a dictionary of English (a stemmer would also
accept words that nobody has seen), and a look-up in it is one step.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

from mmsearch_app.embedders.starter.colours import known_names
from mmsearch_app.inference import LANGUAGES

FOREIGN: Final = ("de", "fr", "es", "it", "nl")
"""Languages of the table, in the order in which they are preferred if several fit equally."""
ADJECTIVES: Final = ("quality", "colour", "pattern", "person", "material")
"""Kinds of word that stand before a noun, in their English order."""

_LETTERS: Final = str.maketrans({"ß": "ss", "œ": "oe", "æ": "ae", "ø": "o", "’": "'"})
_LINKS: Final = ("", "s", "n", "en", "es", "er", "e")
"""What German and Dutch put between the parts of a compound."""
_PARTS: Final = frozenset({*ADJECTIVES, "thing"})
_SHORTEST: Final = 3  # letters of a part of a compound
_LONGEST: Final = 40  # letters of a compound
_SHORTEST_HEAD: Final = 5  # letters of the last part, if the first one is unknown
_MODIFIERS: Final = {
    "stripes": "striped",
    "dots": "dotted",
    "checks": "checked",
    "flowers": "floral",
}
"""What a pattern is called before a noun."""
_VOWELS: Final = "aeiou"


class Term(NamedTuple):
    """An English word or phrase, and its kind of word as in the table.

    Besides those of the table there are "negation", "name" for words that stay as they are, and
    "mark" for punctuation.
    """

    english: str
    kind: str


class Lexicon(NamedTuple):
    """The forms of one language, folded; `longest` is the longest phrase by its first word."""

    forms: Mapping[str, Term]
    longest: Mapping[str, int]


def fold(word: str) -> str:
    """Return the word in small letters without accents: "Größe" becomes "grosse"."""
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFKD", word.lower().translate(_LETTERS))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


@cache
def english_words() -> frozenset[str]:
    """Return the English words of the tables, and English words that look like foreign ones."""
    texts = [_read_data(name) for name in ("english_words.txt", "shop_words.csv")]
    texts += [row["english"] for row in _table()]
    texts += [*known_names(), *LANGUAGES["en"].negations, *LANGUAGES["en"].ends]
    return frozenset(re.findall(r"[^\W_]+", " ".join(texts).lower()))


@cache
def lexicon(language: str) -> Lexicon:
    """Return the forms of a language; those of the table go before those with endings."""
    forms = dict(_negations(language))
    named = [(_key(form), term) for form, term in _entries(language)]
    for key, term in named:
        forms.setdefault(key, term)
    for key, term in named:
        for inflected in _inflect(key, language):
            forms.setdefault(inflected, term)
    longest: dict[str, int] = {}
    for key in forms:
        words = key.split()
        longest[words[0]] = max(longest.get(words[0], 1), len(words))
    return Lexicon(forms, longest)


@lru_cache(4096)
def find_word(word: str, language: str) -> tuple[Term, ...]:
    """Return what a folded word means: several terms for a compound, none if it is unknown."""
    known = _known(word, language)
    if known:
        return (known,)
    has_compounds = language in {"de", "nl"} and len(word) <= _LONGEST
    return _split(word, language) if has_compounds else ()


def _known(word: str, language: str) -> Term | None:
    forms = lexicon(language).forms
    found = forms.get(word)
    if found is None and language == "de":  # "Muetze" for "Mütze"
        found = forms.get(re.sub(r"(?<=[aou])e", "", word))
    return found


def _split(word: str, language: str) -> tuple[Term, ...]:
    """Take a compound apart: into known words, else into an unknown and a known one."""
    places = range(_SHORTEST, len(word) - _SHORTEST + 1)
    for at in places:
        head = _known(word[at:], language)
        before = _modifiers(word[:at], language) if head else ()
        if head and before and head.kind == "free":
            return (Term("without", "negation"), *before)
        if head and before and head.kind in _PARTS:
            return (*map(_before_noun, before), head)
    for at in places:
        head = _known(word[at:], language) if len(word) - at >= _SHORTEST_HEAD else None
        if head and head.kind == "thing" and word[at:] not in english_words():
            return (Term(word[:at], "name"), head)
    return ()


def _modifiers(part: str, language: str) -> tuple[Term, ...]:
    """Return what the first part of a compound means; nothing if it is not known."""
    for link in _LINKS:
        stem = part.removesuffix(link)
        found = _known(stem, language) if len(stem) >= _SHORTEST else None
        if found and found.kind in _PARTS:
            return (found,)
    for at in range(_SHORTEST, len(part) - _SHORTEST + 1):
        first = _known(part[:at], language)
        rest = _modifiers(part[at:], language) if first and first.kind in _PARTS else ()
        if first and rest:
            return (first, *rest)
    return ()


def _before_noun(term: Term) -> Term:
    return Term(_MODIFIERS.get(term.english, term.english), term.kind)


@cache
def _table() -> list[dict[str, str]]:
    return list(csv.DictReader(_read_data("words.csv").splitlines()))


def _read_data(name: str) -> str:
    return files(__package__).joinpath(f"data/{name}").read_text("utf-8")


def _entries(language: str) -> Iterator[tuple[str, Term]]:
    for row in _table():
        for form in filter(None, row[language].split("|")):
            yield form, Term(row["english"], row["is"])


def _negations(language: str) -> Iterator[tuple[str, Term]]:
    words = LANGUAGES[language]
    for phrase in (*words.negations, *words.ambiguous):
        yield _key(phrase), Term("without", "negation")


def _key(form: str) -> str:
    return " ".join(map(fold, re.findall(r"[^\W_]+", form)))


def _inflect(key: str, language: str) -> Iterator[str]:
    """Yield the key with endings: at the last word in German and Dutch, else at the first."""
    first, _, rest = key.partition(" ")
    if not rest:
        yield from _ENDINGS[language](key)
    elif language in {"de", "nl"}:
        before, _, last = key.rpartition(" ")
        yield from (f"{before} {form}" for form in _ENDINGS[language](last))
    else:
        yield from (f"{form} {rest}" for form in _ENDINGS[language](first))


def _german(word: str) -> Iterator[str]:
    stem = word.removesuffix("e")
    yield from (stem + ending for ending in ("e", "en", "em", "er", "es", "ern", "chen"))
    yield from (word + ending for ending in ("n", "s", "nen"))


def _french(word: str) -> Iterator[str]:
    yield from (word + ending for ending in ("s", "x", "e", "es"))


def _spanish(word: str) -> Iterator[str]:
    stem = word.removesuffix("o")
    yield word + "s"
    if stem != word:
        yield from (stem + "a", stem + "as")
    elif word.endswith("z"):
        yield word[:-1] + "ces"
    elif word[-1] not in _VOWELS:
        yield from (word + "es", word + "a", word + "as")


def _italian(word: str) -> Iterator[str]:
    stem, last = word[:-1], word[-1]
    hard = "h" if stem.endswith(("c", "g")) else ""
    if last == "o":
        yield from (stem + "a", stem + hard + "e", stem + hard + "i", stem + "i")
    elif last == "a":
        yield from (stem + hard + "e", stem.removesuffix("i") + "e")
    elif last == "e":
        yield stem + "i"
    if word.endswith("io"):
        yield from (word[:-1], word[:-2] + "ie")


def _dutch(word: str) -> Iterator[str]:
    yield from (word + ending for ending in ("s", "e", "en", "n", "je", "jes", "tje", "tjes"))
    match = re.fullmatch(r"(.*?)([aeiou]?)([aeiou])([bcdfgklmnprstvz])", word)
    if match:
        before, double, vowel, end = match.groups()
        soft = {"f": "v", "s": "z"}.get(end, end)
        if double == vowel:  # "rood", "rode"
            yield from (before + vowel + c + tail for c in (end, soft) for tail in ("e", "en"))
        elif not double:  # "tas", "tassen"
            yield from (word + end + tail for tail in ("e", "en"))
        else:  # "grijs", "grijze"
            yield from (word[:-1] + soft + tail for tail in ("e", "en"))


_ENDINGS: Final[Mapping[str, Callable[[str], Iterator[str]]]] = {
    "de": _german,
    "fr": _french,
    "es": _spanish,
    "it": _italian,
    "nl": _dutch,
}
