"""All texts for visitors and editors are marked for translation."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import mmsearch_app

APP = Path(mmsearch_app.__file__).parent
TOLD = {
    *("InvalidQuery", "SearchUnavailable", "InvalidImage", "UploadTooLarge", "Busy"),
    *("TicketError", "Expired", "Forged", "ParseError", "ValidationError", "Http404"),
}
"""Exceptions whose messages are shown to visitors or editors."""
MARKED = re.compile(r"{% blocktranslate.*?{% endblocktranslate %}", re.DOTALL)
CLASSES = re.compile(r"{% block (?:coltype|bodyclass) %}.*?{% endblock %}")
SYNTAX = re.compile(r"{%.*?%}|{{.*?}}|{#.*?#}", re.DOTALL)
WORD = re.compile(r"[^\W\d_]{2,}")
SPOKEN = ("alt", "aria-label", "placeholder", "title")
SENTENCE = re.compile(r"""["'`][A-Z][a-z]+ [a-z].*?["'`]""")
SIDES = re.compile(
    r"(?:^|[\s;{-])(?:left|right)\s*:|(?:align|float|clear)\s*:\s*(?:left|right)|"
    r"(?:margin|padding|border)-(?:left|right)"
)


def scan(kind: str, look: Callable[[str], object]) -> dict[str, object]:
    """Findings per file with a suffix, for files with any."""
    paths = sorted(APP.rglob(f"*.{kind}"))
    assert paths
    found = {str(path.relative_to(APP)): look(path.read_text("utf-8")) for path in paths}
    return {name: texts for name, texts in found.items() if texts}


def bare_texts(source: str) -> list[str]:
    """Messages of exceptions that are not marked for translation."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    return [text for function in functions for text in _bare_texts(function)]


def _bare_texts(function: ast.FunctionDef) -> Iterator[str]:
    nodes = list(ast.walk(function))
    assigned = [(n.lineno, n.targets[0], n.value) for n in nodes if isinstance(n, ast.Assign)]
    for node in nodes:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        text: ast.expr | None = node.args[0]
        if isinstance(text, ast.Name):
            before = [a for a in assigned if a[0] < node.lineno and ast.unparse(a[1]) == text.id]
            text = max(before, key=lambda a: a[0])[2] if before else None
        if node.func.id in TOLD and isinstance(text, ast.Constant | ast.JoinedStr):
            yield ast.unparse(text)


class Words(HTMLParser):
    """Collects the text between tags and in attributes that people read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.found += WORD.findall(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [word for key, v in attrs if key in SPOKEN for word in WORD.findall(v or "")]


def bare_words(template: str) -> list[str]:
    for rest in (MARKED, CLASSES, SYNTAX):
        template = rest.sub("", template)
    return Words(template).found


def test_exception_messages_for_visitors_can_be_translated() -> None:
    assert scan("py", bare_texts) == {}


def test_all_texts_of_templates_can_be_translated() -> None:
    assert scan("html", bare_words) == {}


def test_a_script_takes_its_sentences_from_the_page() -> None:
    assert scan("js", SENTENCE.findall) == {}


def test_style_sheets_use_logical_properties() -> None:
    assert scan("css", SIDES.findall) == {}


def test_a_bare_text_would_be_found() -> None:
    raised = "def f():\n    msg = 'No.'\n    raise InvalidQuery(msg)\n"
    assert bare_texts(raised) == ["'No.'"]
    assert bare_texts(raised.replace("'No.'", "gettext('No.')")) == []
    assert bare_words('<p title="{{ a }}">{% translate "b" %} <b>cd</b></p>') == ["cd"]
