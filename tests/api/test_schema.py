"""The OpenAPI schema matches the API."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.api.conftest import Ask

PREFIX = "/api/mmsearch/v1/"


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The schema, as a shop would generate it; fails on a warning of drf-spectacular."""
    pytest.importorskip("drf_spectacular")
    file = tmp_path_factory.mktemp("schema") / "schema.json"
    command = [sys.executable, "-m", "django", "spectacular", "--format", "openapi-json"]
    command += ["--settings", "tests.api.spectacular_settings", "--file", str(file)]
    command += ["--validate", "--fail-on-warn"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(file.read_text())
    return document


def resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: dict[str, Any] = schema["components"]["schemas"][node["$ref"].rpartition("/")[2]]
    return found


def test_a_form_carries_the_image_as_bytes(schema: dict[str, Any]) -> None:
    content = schema["paths"][f"{PREFIX}search/"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    form = resolve(schema, content["multipart/form-data"]["schema"])["properties"]
    assert form["image"]["format"] == "binary"
    words = resolve(schema, content["application/json"]["schema"])["properties"]
    assert "image" not in words
    assert words["text"]["maxLength"] == 500
    assert words["limit"]["maximum"] == 100
    assert {"like", "without", "rerank", "category", "price__lte"} <= set(words)
    assert words["category"]["type"] == "array"
    assert words["price__lte"]["type"] == "number"


def test_the_problems_are_described(schema: dict[str, Any]) -> None:
    responses = schema["paths"][f"{PREFIX}search/"]["post"]["responses"]
    assert set(responses) == {"200", "400", "413", "415", "422", "429", "503"}
    assert set(responses["422"]["content"]) == {"application/problem+json"}


def test_the_schema_has_the_public_urls(schema: dict[str, Any]) -> None:
    paths = {path for path in schema["paths"] if path.startswith(PREFIX)}
    assert paths == {
        f"{PREFIX}search/",
        f"{PREFIX}search/{{token}}/",
        f"{PREFIX}search/{{token}}/rerank/",
        f"{PREFIX}health/",
    }


def test_real_answers_follow_the_schema(
    schema: dict[str, Any], ask: Ask, api: APIClient, catalogue: Any
) -> None:
    from openapi_schema_validator import OAS30Validator

    response = ask(text="red mug", limit=4)
    operations = [
        (schema["paths"][f"{PREFIX}search/"]["post"], response),
        (schema["paths"][f"{PREFIX}search/{{token}}/"]["get"], api.get(response.json()["next"])),
        (schema["paths"][f"{PREFIX}search/"]["post"], ask(text="x" * 501)),
        (schema["paths"][f"{PREFIX}health/"]["get"], api.get(f"{PREFIX}health/")),
    ]
    for operation, answer in operations:
        content = operation["responses"][str(answer.status_code)]["content"]
        body = content[answer.headers["Content-Type"]]["schema"]
        whole = {"allOf": [body], "components": schema["components"]}
        OAS30Validator(whole).validate(answer.json())


def test_the_api_works_without_drf_spectacular(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsearch_app.api import schema as described

    monkeypatch.setitem(sys.modules, "drf_spectacular.utils", None)
    importlib.reload(described)

    def method() -> None: ...

    assert described.documented(problems=(400,))(method) is method
