"""The code blocks of README.md and of the pages in docs/."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "RUN", "Block", "collect", "pages"]

ROOT = Path(__file__).resolve().parents[2]
RUN = frozenset({"python", "django", "console", "json"})
"""The languages whose blocks are executed."""
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_ELSEWHERE = re.compile(r"<!-- run in: (\w+) -->\s*\Z")
_EXCUSE = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One code block."""

    page: str
    """Path of its page, from the root of the repository."""
    line: int
    """Number of its first line of code."""
    language: str
    text: str
    excuse: str
    """Why it is not run: from the HTML comment `<!-- not run: … -->` before it, or ""."""
    shop: str
    """The shop of tests/shops that runs it: from the comment `<!-- run in: … -->`, or ""."""

    @property
    def id(self) -> str:
        """Page and line, as an editor opens it."""
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str:
        """The file that the block is of, by the comment on its first line, or ""."""
        found = re.match(r"(?:#|\{#) ([\w./-]+\.(?:py|html))", self.text)
        return found[1] if found else ""


def pages() -> list[Path]:
    """README.md and every page of the site."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def collect() -> Iterator[Block]:
    """Every block in a language that is run."""
    for page in pages():
        text = page.read_text("utf-8")
        for found in _FENCE.finditer(text):
            if found["language"] not in RUN:
                continue
            before = text[: found.start()]
            excuse, elsewhere = _EXCUSE.search(before), _ELSEWHERE.search(before)
            yield Block(
                page=page.relative_to(ROOT).as_posix(),
                line=text.count("\n", 0, found.start("text")) + 1,
                language=found["language"],
                text=textwrap.dedent(found["text"]),
                excuse=" ".join(excuse[1].split()) if excuse else "",
                shop=elsewhere[1] if elsewhere else "",
            )
