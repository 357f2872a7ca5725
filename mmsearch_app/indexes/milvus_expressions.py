"""Pieces of Milvus' filter expressions, with every text escaped.

Filter templates would need a newer server than the oldest supported, so texts are quoted
here. Two grammars read them: ANTLR's on a server, a hand-written one in Milvus Lite.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["listed", "none_of", "one_of", "quote"]

ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def quote(text: str) -> str:
    return f'"{text.translate(ESCAPES)}"'


def one_of(column: str, texts: Iterable[str]) -> str:
    return f"{column} in {listed(texts)}"


def none_of(column: str, texts: Iterable[str]) -> str:
    return f"{column} not in {listed(texts)}"


def listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quote, texts))}]"
