"""The rules of the house: who may import whom, by which door, and where a name lives."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import mmsearch_app

APP = Path(mmsearch_app.__file__).parent
PACKAGE = "mmsearch_app"

GROUND = {"translation", "signals"}
MODELS = {"embedders", "indexes", "rerankers", "inference", "images", *GROUND}
ROADS = {"conf", "backends", "warming", "models", "sources", *MODELS}
ALLOWED: Mapping[str, set[str]] = {
    "translation": set(),
    "signals": set(),
    "conf": set(),
    "models": {"translation"},
    "inference": set(),
    "images": {"inference", "translation"},
    "embedders": {"inference", "images"},
    "indexes": {"inference"},
    "rerankers": {"inference", "images"},
    "backends": {"conf", "embedders", "indexes", "rerankers", "inference"},
    "warming": {"conf", "backends", "inference"},
    "sources": {"models", "conf", "indexes"},
    "indexing": ROADS,
    "searching": ROADS,
    "health": {"indexing", "backends", "warming"},
    "evaluation": {"searching", *ROADS},
    "storefront": {"searching", *ROADS},
    "checks": ROADS,
    "testing": {"searching", "indexing", *ROADS},
    "api": {"searching", "health", *ROADS},
    "admin": {"searching", "indexing", "health", *ROADS},
    "contrib": {"searching", "indexing", "health", *ROADS},
    "apps": {"checks", "indexing", "sources", "warming"},
    "urls": {"storefront"},
    "templatetags": {"storefront", "searching", *ROADS},
    "management": {"searching", "indexing", "health", "evaluation", "contrib", *ROADS},
    "": {"warming", "indexing", "searching", "sources"},
}
"""Which rooms a room may import. What is not named here is forbidden."""
PLUGGABLE = ("embedders", "indexes", "rerankers")
DOORS = {
    *(f"{room}.base" for room in PLUGGABLE),
    "indexes.memory",
    "searching.search",
    "contrib.serving.application",
}
"""Modules that may be imported from outside their room by their own name."""
DJANGOS_NAMES = {"Command", "app_name", "log", "register", "urlpatterns"}
QUEUES = {"drain", "reconcile", "shifts", "wake"}
"""What the two task queues call their tasks alike."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """One `from … import` of the package, by the dotted names below the package."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def room_of(module: str) -> str:
    return module.partition(".")[0]


def modules(root: Path) -> dict[str, Path]:
    """Every module by its dotted name below the package; a package by the name of its folder."""
    found = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        if "migrations" not in parts:
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(root: Path) -> Iterator[Import]:
    known = modules(root)
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            if node.module != PACKAGE and not node.module.startswith(f"{PACKAGE}."):
                continue
            below = node.module.removeprefix(PACKAGE).lstrip(".")
            for alias in node.names:
                deeper = f"{below}.{alias.name}".lstrip(".")
                is_module = not below and deeper in known
                imported = deeper if is_module else below
                yield Import(importer=module, imported=imported, line=node.lineno)


def forbidden(root: Path = APP) -> list[str]:
    """Imports of a room that the importing room may not use."""
    return [
        str(found)
        for found in imports(root)
        if room_of(found.imported)
        not in {*ALLOWED[room_of(found.importer)], room_of(found.importer)}
    ]


def back_doors(root: Path = APP) -> list[str]:
    """Imports that enter a room past its `__init__`."""
    return [
        str(found)
        for found in imports(root)
        if room_of(found.imported) != room_of(found.importer)
        and "." in found.imported
        and found.imported not in DOORS
    ]


def public_names(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def defined_twice(root: Path = APP) -> dict[str, list[str]]:
    """Public names that are defined in more than one module."""
    places: dict[str, list[str]] = defaultdict(list)
    for module, path in modules(root).items():
        for name in set(public_names(path)):
            is_task = name in QUEUES and module.startswith("contrib.")
            if not (name.startswith("_") or name in DJANGOS_NAMES or is_task):
                places[name].append(module)
    return {name: sorted(found) for name, found in places.items() if len(found) > 1}


def test_every_room_imports_only_what_it_may() -> None:
    assert forbidden() == []


def test_every_room_is_entered_through_its_package() -> None:
    assert back_doors() == []


def test_every_public_name_is_defined_in_one_place() -> None:
    assert defined_twice() == {}


def test_the_top_level_stays_small() -> None:
    assert len(list(APP.glob("*.py"))) <= 14


def test_no_room_reaches_itself_through_another() -> None:
    reached: dict[str, set[str]] = defaultdict(set)
    for found in imports(APP):
        if room_of(found.imported) != room_of(found.importer):
            reached[room_of(found.importer)].add(room_of(found.imported))

    def visit(room: str, path: tuple[str, ...]) -> None:
        assert room not in path, " → ".join([*path, room])
        for other in reached[room]:
            visit(other, (*path, room))

    for room in list(reached):
        visit(room, ())


@pytest.mark.parametrize(
    ("planted", "found_by"),
    [
        ("from mmsearch_app.searching import search", forbidden),
        ("from mmsearch_app.sources.registry import registry", back_doors),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, planted: str, found_by: object) -> None:
    folder = tmp_path / "indexing"
    folder.mkdir()
    (folder / "worker.py").write_text(f"def work():\n    {planted}\n")
    assert callable(found_by)
    assert [line.split()[0] for line in found_by(tmp_path)] == ["indexing.worker:2"]


def test_a_planted_second_definition_is_found(tmp_path: Path) -> None:
    for room in ("indexing", "searching"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "chunks.py").write_text("def chunks(): ...\n")
    assert defined_twice(tmp_path) == {"chunks": ["indexing.chunks", "searching.chunks"]}
