"""What the documentation lists is what the code has: no more, no less."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mmsearch_app import ImageSource
from mmsearch_app.rerankers.llvm import VisionReranker
from tests.docs.blocks import ROOT, pages

APP = ROOT / "mmsearch_app"
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)]+))?\)")


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def first_cells(page: str) -> set[str]:
    """The code in the first cell of each table row."""
    cells = re.findall(r"^\| (`[^|]+) \|", read(page), re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_tables_from_the_code_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "tools/tables.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"run: python tools/tables.py\n{done.stdout}{done.stderr}"


def test_every_system_check_is_documented() -> None:
    ids = re.compile(r"\bmmsearch_app\.[EW]\d{3}\b")
    raised = {found for file in APP.rglob("*.py") for found in ids.findall(file.read_text())}
    assert len(raised) > 10
    assert first_cells("docs/reference/checks.md") == raised


def test_every_hook_of_a_source_is_documented() -> None:
    hooks = {
        *(name for name in ImageSource.__annotations__ if not name.startswith("_")),
        *(name for name in vars(ImageSource) if name.startswith("get_")),
        "visible_to",
    }
    shown = {cell.partition("(")[0] for cell in first_cells("docs/customise.md")}
    assert hooks <= shown
    listed = re.search(r"ImageSource\(\)\n +:members: (.*)", read("docs/reference/python.md"))
    assert listed is not None
    assert set(listed[1].split(", ")) == hooks


def test_every_custom_property_is_documented() -> None:
    property_name = re.compile(r"--mmsearch-[\w-]+")
    styles = APP / "static" / "mmsearch" / "mmsearch.css"
    known = set(property_name.findall(styles.read_text("utf-8")))
    assert set(property_name.findall(read("docs/customise.md"))) == known


def test_every_template_is_documented() -> None:
    folder = APP / "templates" / "mmsearch"
    known = {path.name for path in folder.glob("*.html")}
    shown = {cell for cell in first_cells("docs/customise.md") if cell.endswith(".html")}
    assert shown == known


def test_every_extra_is_documented() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    extras = set(project["optional-dependencies"]) - {"dev"}
    assert extras <= first_cells("docs/install.md")


def test_every_metric_is_documented() -> None:
    pytest.importorskip("prometheus_client")
    from prometheus_client import CollectorRegistry

    from mmsearch_app.contrib.prometheus.registries import Searches, StateCollector

    registry = CollectorRegistry()
    searches = Searches(registry=registry)
    found = {f"{family.name}_total" for family in searches.count.describe()}
    found |= {family.name for family in searches.seconds.describe()}
    found |= {family.name for family in StateCollector().describe()}
    shown = {cell for cell in first_cells("docs/operate.md") if cell.startswith("mmsearch_")}
    commands = {path.stem for path in (APP / "management" / "commands").glob("mmsearch_*.py")}
    assert {name for name in shown if name.split()[0] not in commands} == found
    assert commands <= {name.split()[0] for name in shown}


@pytest.mark.parametrize("option", ["preset", "mode"])
def test_every_way_to_a_reranker_is_documented(option: str) -> None:
    options: dict[str, Any] = {"model": "some/model", option: "none"}
    with pytest.raises(ValueError, match="must be one of") as refused:
        VisionReranker(**options)
    listed = str(refused.value).partition("one of ")[2].partition(", not")[0]
    text = read("docs/reranking.md")
    assert [name for name in listed.split(", ") if f"`{name}`" not in text] == []


def test_messages_are_quoted_as_the_app_writes_them() -> None:
    sources = [*APP.rglob("*.py"), *APP.rglob("*.html")]
    written = "\n".join(path.read_text("utf-8") for path in sources)
    written = re.sub(r'"\s*\n\s*f?"', "", written)  # one text over several lines
    table = read("docs/operate.md").partition("## What to do when")[2]
    quoted = re.findall(r"“([^”]+)”", table)
    assert len(quoted) > 2
    assert [message for message in quoted if message.rstrip(" …") not in written] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page: Path) -> None:
    made = {"openapi.json"}  # beside the page, when the site is built
    for name, anchor in LINK.findall(page.read_text("utf-8")):
        target = page.parent / name if name else page
        assert name in made or target.exists(), name
        if anchor:
            assert anchor in anchors_of(target), f"{name}#{anchor}"


def anchors_of(page: Path) -> set[str]:
    """What a link may name: each heading in lower case, with dashes for spaces."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= 130
