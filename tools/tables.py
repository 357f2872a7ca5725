"""Write the tables of `docs/` that come from the code: `python tools/tables.py`, or `--check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmsearch_app.embedders import Preset

import argparse
import ast
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PARTS = {
    "EMBEDDER": ('`"starter"`', "A preset's name, or a dict with `BACKEND` and `OPTIONS`."),
    "INDEX": ("`MilvusIndex`", "A dict with `BACKEND` and `OPTIONS`."),
    "RERANKER": ("`None`", "`None`, or a dict with `BACKEND` and `OPTIONS`."),
}


def render_settings() -> str:
    """One row for each field of `Settings`: its default and its docstring."""
    tree = ast.parse((ROOT / "mmsearch_app" / "conf.py").read_text("utf-8"))
    [settings] = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"
    ]
    rows = ["| key | default | meaning |", "| --- | --- | --- |"]
    for node, after in zip(settings.body, [*settings.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            rows.append(f"| `{node.target.id}` | {' | '.join(_cells(node, after))} |")
    return "\n".join(rows)


def _cells(node: ast.AnnAssign, after: ast.stmt | None) -> tuple[str, str]:
    name = ast.unparse(node.target)
    if name in PARTS:
        return PARTS[name]
    meaning = ""
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
        meaning = " ".join(str(after.value.value).split())
    default = ast.unparse(node.value) if node.value else ""
    default = default.replace("field(default_factory=dict)", "{}")
    return f"`{default}`", meaning.replace("|", "\\|")


def render_presets() -> str:
    """All presets in two tables: what they are, and what there is to know of them."""
    from mmsearch_app.embedders import PRESETS

    head = "preset|dimension|float32 / bfloat16|CIRCO|CIRR|FashionIQ|licence: weights|extra|remark"
    rows = [head.split("|"), ["---"] * 9, *map(_preset_cells, PRESETS.values())]
    name, *figures, weights, extra, remark = zip(*rows, strict=True)
    tables = [(name, *figures, extra), (name, weights, remark)]
    return "\n\n".join(
        "\n".join(f"| {' | '.join(row)} |" for row in zip(*table, strict=True)) for table in tables
    )


def _preset_cells(preset: Preset) -> list[str]:
    f = preset.figures
    figures = ["–"] * 3 if f is None else [str(f.circo), str(f.cirr), str(f.fashioniq)]
    remark = preset.remark if f is None else f"{preset.remark} Figures: {f.source}."
    described = [f"{preset.licence}: {preset.weights}", f"`{preset.extra}`", remark]
    return [f"`{preset.name}`", str(preset.dimension), preset.memory(), *figures, *described]


def render_commands() -> str:
    """One section for each command: its help and its arguments."""
    return "\n\n".join(_render_command(name) for name in find_commands())


def find_commands() -> list[str]:
    """The names of the app's management commands."""
    folder = ROOT / "mmsearch_app" / "management" / "commands"
    return sorted(path.stem for path in folder.glob("mmsearch_*.py"))


class Recorder:
    """Takes the arguments of a command in place of a parser, whose help differs by Python."""

    def __init__(self) -> None:
        self.found: list[tuple[tuple[str, ...], dict[str, Any]]] = []

    def add_argument(self, *names: str, **options: Any) -> None:
        """Keep one argument."""
        self.found.append((names, options))


def _render_command(name: str) -> str:
    from django.core.management import load_command_class

    command, recorder = load_command_class("mmsearch_app", name), Recorder()
    command.add_arguments(recorder)  # type: ignore[arg-type]
    lines = [f"## {name}", "", _mark_code(command.help)]
    if recorder.found:
        lines += ["", "| argument | meaning |", "| --- | --- |"]
    for names, options in recorder.found:
        meaning = [_mark_code(str(options["help"]))] if "help" in options else []
        meaning += [f"default: `{value}`"] if (value := _default(names, options)) else []
        lines.append(f"| {_spell(names, options)} | {'; '.join(meaning)} |")
    return "\n".join(lines)


def _mark_code(text: str) -> str:
    return re.sub(r"\{[^{}]*\}|'mmsearch\[[^']*'", r"`\g<0>`", text)


def _default(names: tuple[str, ...], options: Mapping[str, Any]) -> str:
    shown = names[0].startswith("-") and "help" not in options
    return str(options.get("default") or "") if shown else ""


def _spell(names: tuple[str, ...], options: Mapping[str, Any]) -> str:
    said = ", ".join(f"`{name}`" for name in names)
    count = {"?": " (optional)", "*": " (any number)"}.get(options.get("nargs", ""), "")
    return said + count


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": render_settings,
    "presets": render_presets,
    "commands": render_commands,
}


def fill(text: str) -> str:
    """The page with its tables as the code has them now."""
    for name, render in TABLES.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if start in text:
            before, _, rest = text.partition(start)
            after = rest.partition(end)[2]
            text = f"{before}{start}\n{render().strip()}\n{end}{after}"
    return text


def find_stale() -> Iterator[tuple[Path, str]]:
    """Each page whose tables are not those of the code, with its text as it should be."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        old = page.read_text("utf-8")
        if (new := fill(old)) != old:
            yield page, new


def main() -> int:
    """Write, or with `--check` only report which pages would change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = parser.parse_args().check
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_shop.settings")
    import django

    django.setup()
    stale = list(find_stale())
    for page, text in stale:
        print(page.relative_to(ROOT))  # noqa: T201
        if not check:
            page.write_text(text, "utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
