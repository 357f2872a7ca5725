"""Write the README's tables from the code: `python docs/tables.py`, or `--check`."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PARTS = {
    "EMBEDDER": ('`"starter"`', "A preset's name, or `BACKEND` and `OPTIONS`."),
    "INDEX": ("`MilvusIndex`", "`BACKEND` and `OPTIONS`: `uri`, `token`, `collection`, …"),
    "RERANKER": ("`None`", "`BACKEND` and `OPTIONS`."),
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
    return f"`{default}`", meaning.replace("|", "\\|")


def render_presets() -> str:
    """One row for each preset of an embedder."""
    from mmsearch_app.embedders.presets import render_table

    return render_table()


def fill(text: str) -> str:
    """The README with its tables as the code has them now."""
    for name, render in {"settings": render_settings, "presets": render_presets}.items():
        block = f"<!-- {name} -->\n{render().strip()}\n<!-- /{name} -->"
        text = re.sub(
            rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _, b=block: b, text, flags=re.DOTALL
        )
    return text


def main() -> int:
    """Write, or with `--check` only say whether something would change."""
    readme = ROOT / "README.md"
    old = readme.read_text("utf-8")
    new = fill(old)
    if "--check" in sys.argv:
        return int(new != old)
    readme.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
