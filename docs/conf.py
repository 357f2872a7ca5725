"""The documentation site, built by `make docs`: a warning, such as a dead link, is an error."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import django
from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
if "SHOP_DATA" not in os.environ:
    os.environ["SHOP_DATA"] = tempfile.mkdtemp(prefix="mmsearch-docs-")
    atexit.register(shutil.rmtree, os.environ["SHOP_DATA"], ignore_errors=True)

from example_shop import settings as shop  # noqa: E402

settings.configure(
    **{
        **{name: getattr(shop, name) for name in dir(shop) if name.isupper()},
        "INSTALLED_APPS": [*shop.INSTALLED_APPS, "drf_spectacular"],
        "REST_FRAMEWORK": {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"},
        "SPECTACULAR_SETTINGS": {"COMPONENT_SPLIT_REQUEST": True, "TITLE": "mmsearch"},
        "LOGGING": {},
    }
)
django.setup()

import mmsearch_app  # noqa: E402
from tools.openapi import build_schema, render_schema  # noqa: E402

project = "mmsearch"
author = "the mmsearch contributors"
copyright = author
version = release = mmsearch_app.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
default_role = "code"
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]
"""Types in signatures are text: half of them belong to Django, NumPy and Pillow."""

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
toc_object_entries = False

html_theme = "furo"
html_title = "mmsearch"
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#a92c16",
        "color-brand-content": "#a92c16",
        "color-sidebar-link-text": "var(--color-foreground-primary)",
        "color-sidebar-link-text--top-level": "var(--color-foreground-primary)",
    },
    "dark_css_variables": {"color-brand-primary": "#ff9d85", "color-brand-content": "#ff9d85"},
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "native"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_remove_prompts = True

_SPAN = re.compile(r"(`+)(.+?)\1")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=\w)[^*]*\w\*(?![\w*])")


def to_rst(_app: Any, _what: str, _name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings are text with `code` and *emphasis*; nothing else in them is markup."""
    lines[:] = [_line_to_rst(line) for line in lines]


def _line_to_rst(line: str) -> str:
    parts, end = [], 0
    for span in _SPAN.finditer(line):
        parts += [_escape(line[end : span.start()]), f"``{span[2]}``"]
        after = line[span.end() : span.end() + 1]
        parts += ["\\ "] if after.isalnum() else []
        end = span.end()
    return "".join([*parts, _escape(line[end:])])


def _escape(text: str) -> str:
    parts, end = [], 0
    for found in _EMPHASIS.finditer(text):
        parts += [text[end : found.start()], found[0]]
        end = found.end()
    plain, marked = [*parts[::2], text[end:]], [*parts[1::2], ""]
    escaped = [re.sub(r"([*|`\\]|_(?=\W|$))", r"\\\1", part) for part in plain]
    return "".join(part for pair in zip(escaped, marked, strict=True) for part in pair)


def fill_in_schema(_app: Any, name: str, source: list[str]) -> None:
    """Put the tables of the OpenAPI schema into the page about the API."""
    if name == "reference/api":
        source[0] = source[0].replace("<!-- openapi -->", render_schema(build_schema()))


def write_schema(app: Any, error: Exception | None) -> None:
    """Offer the schema itself beside the page."""
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "reference" / "openapi.json"
        target.write_text(json.dumps(build_schema(), indent=1, default=str), "utf-8")


def setup(app: Any) -> None:
    """Connect what is above."""
    app.connect("autodoc-process-docstring", to_rst)
    app.connect("source-read", fill_in_schema)
    app.connect("build-finished", write_schema)
