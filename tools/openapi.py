"""The OpenAPI schema of the example shop's API, and its tables for the site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, TypeAlias

PREFIX = "/api/mmsearch"
_KINDS = {"binary": "file"}
Schema: TypeAlias = Mapping[str, Any]


@cache
def build_schema() -> Schema:
    """The schema that drf-spectacular makes of the API, without the shop's other views."""
    from drf_spectacular.generators import SchemaGenerator

    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    ours = [path for path in schema["paths"] if path.startswith(PREFIX)]
    ours.sort(key=lambda path: "health" in path)  # last: it is no search
    return {**schema, "paths": {path: schema["paths"][path] for path in ours}}


def render_schema(schema: Schema) -> str:
    """Every operation as Markdown: its body, its parameters and its responses."""
    parts: list[str] = []
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            parts += [f"## {method.upper()} {path.removeprefix(PREFIX)}", ""]
            parts += [operation.get("description", ""), ""]
            parts += [*_render_operation(schema, operation)]
    return "\n".join(parts)


def _render_operation(schema: Schema, operation: Schema) -> Iterator[str]:
    if parameters := operation.get("parameters"):
        yield from _table(
            ["parameter", "in", "type"],
            ([f"`{p['name']}`", p["in"], _type(schema, p["schema"])] for p in parameters),
        )
    content = operation.get("requestBody", {}).get("content", {})
    if content:
        kinds = " or ".join(f"`{kind}`" for kind in content)
        yield from (f"Body: {kinds}", "")
        widest = max((_resolve(schema, c["schema"]) for c in content.values()), key=_width)
        yield from _fields(schema, widest)
    for status, response in operation["responses"].items():
        [(kind, body)] = response["content"].items()
        if int(status) < HTTPStatus.BAD_REQUEST:
            yield from (f"Response {status}: `{kind}`", "")
            yield from _fields(schema, _resolve(schema, body["schema"]))
    wrong = [s for s in operation["responses"] if int(s) >= HTTPStatus.BAD_REQUEST]
    if wrong:
        names = ", ".join(f"{status} {HTTPStatus(int(status)).phrase}" for status in wrong)
        yield from (f"Other responses: {names}.", "")


def _fields(schema: Schema, node: Schema) -> Iterator[str]:
    head = ["field", "type", "meaning"]
    rows = [
        [f"`{name}`", _type(schema, field), field.get("description", "")]
        for name, field in node["properties"].items()
    ]
    width = len(head) if any(row[-1] for row in rows) else len(head) - 1
    yield from _table(head[:width], (row[:width] for row in rows))


def _table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    yield from (f"| {' | '.join(cell.replace('|', ' or ') for cell in row)} |" for row in rows)
    yield ""


def _resolve(schema: Schema, node: Schema) -> Schema:
    if "$ref" in node:
        return _resolve(schema, schema["components"]["schemas"][node["$ref"].rpartition("/")[2]])
    if len(node.get("allOf", [])) == 1:
        return _resolve(schema, node["allOf"][0])
    return node


def _width(node: Schema) -> int:
    return len(node["properties"])


def _type(schema: Schema, node: Schema) -> str:
    found = _resolve(schema, node)
    if "enum" in found:
        return " or ".join(f"`{value}`" for value in found["enum"])
    if found.get("type") == "array":
        return f"list of {_type(schema, found['items'])}"
    if found.get("type") == "object" and "properties" in found:
        inner = ", ".join(f"`{name}`" for name in found["properties"])
        return f"object: {inner}"
    words = [_KINDS.get(found.get("format", ""), str(found.get("type", "any")))]
    limits = {"minimum": "from", "maximum": "to", "maxLength": "of at most"}
    words += [f"{word} {found[key]}" for key, word in limits.items() if key in found]
    words += ["characters"] if "maxLength" in found else []
    return " ".join(words)
