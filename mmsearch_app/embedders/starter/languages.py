"""Put the words of shoppers into English, which is all that the starter embedder's models know.

The rule: the words of a text that are known in each language are counted, compounds and phrases
included. The text is in the language with the most; English goes first if it has as many, and its
texts stay exactly as they are. So "rose robe", "hose" and "Rock" are English, since each of their
words is English too, and "robe blanche", "schwarze Hose" and "roter Rock" are not. What
`lexicon` does not know stays as it is, such as names and numbers.

French, Spanish and Italian put nouns first. There, up to the next punctuation, negation or word
such as "with", adjectives are put before the noun, and "N of N" becomes a compound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final, NamedTuple

from mmsearch_app.embedders.starter.lexicon import (
    ADJECTIVES,
    FOREIGN,
    Term,
    english_words,
    find_word,
    fold,
    lexicon,
)

_NOUN_FIRST: Final = {"fr", "es", "it"}
_TOKEN: Final = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+|[,;.:!?()\[\]¿¡/|&+]")
_MOST_TOKENS: Final = 80  # of a text that is put into English: a title or a query, no essay
_WORTH: Final = {"thing", *ADJECTIVES}


class _Token(NamedTuple):
    text: str
    key: str
    """The text, folded."""
    gap: str
    """What stands between it and the token before."""


class _Reading(NamedTuple):
    known: int
    """How many words of the text are known."""
    telling: int
    """How many of the terms name a thing or what it looks like."""
    terms: list[Term]


@lru_cache(4096)
def put_into_english(text: str) -> str:
    """Return the text in English; an English text, or one of an unknown language, as it is."""
    words = [word.lower() for word in _TOKEN.findall(text) if word[0].isalpha()]
    english = sum(word in english_words() for word in words)
    if english == len(words) or len(words) > _MOST_TOKENS:
        return text
    tokens = list(_tokens(text))
    readings = [(_read(tokens, language), language) for language in FOREIGN]
    best, language = max(readings, key=lambda found: found[0][:2])
    if best.known <= english:
        return text
    terms = _reorder(best.terms) if language in _NOUN_FIRST else best.terms
    return " ".join(term.english for term in terms).replace(" ,", ",")


def _tokens(text: str) -> Iterator[_Token]:
    end = 0
    for found in _TOKEN.finditer(text):
        yield _Token(found[0], fold(found[0]), text[end : found.start()])
        end = found.end()


def _read(tokens: Sequence[_Token], language: str) -> _Reading:
    """Read a text in one language, the longest phrases first."""
    terms: list[Term] = []
    known = at = 0
    while at < len(tokens):
        size, found = _term_at(tokens, at, language)
        if found:
            known += size
            terms += found
        else:
            _keep(tokens[at], terms)
        at += size
    return _Reading(known, sum(term.kind in _WORTH for term in terms), terms)


def _term_at(tokens: Sequence[_Token], at: int, language: str) -> tuple[int, tuple[Term, ...]]:
    """Return how many tokens from `at` on have a meaning together, and that; else 1 and ()."""
    forms, longest = lexicon(language)
    for size in range(longest.get(tokens[at].key, 1), 1, -1):
        phrase = " ".join(token.key for token in tokens[at : at + size])
        if phrase in forms:
            return phrase.count(" ") + 1, (forms[phrase],)
    return 1, find_word(tokens[at].key, language)


def _keep(token: _Token, terms: list[Term]) -> None:
    """Add a token that is not known, as a mark or a name; "A" and "Linie" become one again."""
    if not token.text[0].isalnum():
        terms.append(Term(token.text, "mark"))
    elif token.gap in {"-", "'", "’"} and terms and terms[-1].kind == "name":
        terms.append(Term(terms.pop().english + token.gap + token.text, "name"))
    else:
        terms.append(Term(token.text, "name"))


def _reorder(terms: Sequence[Term]) -> list[Term]:
    """Put adjectives before nouns, within what no mark, negation or preposition divides."""
    ordered: list[Term] = []
    for divides, group in groupby(terms, _divides):
        part = list(group)
        ordered += part if divides else _put_nouns_last(part)
    return ordered


def _divides(term: Term) -> bool:
    return term.kind in {"mark", "negation", "link"} and term.english != "of"


def _put_nouns_last(terms: Sequence[Term]) -> list[Term]:
    """Return "green cup of coffee" as "green coffee cup"; names before the noun stay there."""
    before: list[Term] = []
    nouns: list[Term] = []
    after: list[Term] = []
    adjectives: list[Term] = []
    joined = False
    for term in terms:
        if term.english == "of":
            joined = True
        elif term.kind in ADJECTIVES:
            adjectives.append(term)
        elif term.kind == "thing":
            nouns.insert(-1 if joined else len(nouns), term)
            joined = False
        else:
            (after if nouns else before).append(term)
    return [*before, *sorted(adjectives, key=_place), *nouns, *after]


def _place(adjective: Term) -> int:
    return ADJECTIVES.index(adjective.kind)
