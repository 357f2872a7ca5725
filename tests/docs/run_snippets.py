"""Run every snippet in a small shop: `python -m tests.docs.run_snippets`, started by the tests.

The blocks of a page run in its order and share their names, as a reader would type them. Prints
one JSON object: for each block that failed, its traceback.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import io
import json
import os
import re
import shlex
import sys
import tomllib
import traceback
import unittest
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from types import ModuleType
from typing import Any
from unittest.mock import patch

import django
from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.checks import ERROR, run_checks
from django.core.files.base import ContentFile
from django.core.management import call_command, get_commands, load_command_class
from django.template import Context, Template
from django.test import Client, RequestFactory, override_settings
from django.test.utils import setup_test_environment
from django.urls import clear_url_caches, include, path
from django.utils.module_loading import import_string
from PIL import Image

from mmsearch_app.testing import index_everything
from tests.docs.blocks import ROOT, Block, collect

PROGRAMS = frozenset({"celery", "git", "gunicorn", "sphinx-build", "uvicorn", "vllm"})
"""Commands of other projects, which are not started here."""


def fill_shop() -> None:
    """Make the database, some products with pictures, and the index."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    shelf = make("Category", name="Mugs")
    for colour in ("red", "blue", "green"):
        product = make("Product", title=f"{colour} mug")
        product.categories.add(shelf)
        make("ProductImage", product=product, original=draw(colour))
        make("Poster", title=f"{colour} poster", picture=draw(colour))
        make("Lamp", title=f"{colour} lamp", photo=make("Photo", file=draw(colour)))
    get_user_model().objects.create_superuser("editor")
    index_everything()
    (settings.BASE_DIR / "mug.jpg").write_bytes(draw("red").read())


def make(model: str, **values: Any) -> Any:
    """A new row of the shop."""
    return find(model)._default_manager.create(**values)


def find(model: str) -> Any:
    """A model of the shop."""
    return apps.get_model("catalogue", model)


def draw(colour: str) -> ContentFile[bytes]:
    """A picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(file, "JPEG")
    return ContentFile(file.getvalue(), f"{colour}.jpg")


class Page:
    """Runs the blocks of one page."""

    def __init__(self) -> None:
        products = find("Product")._default_manager
        request: Any = RequestFactory().get("/")
        request.user = get_user_model().objects.get()
        self.names: dict[str, Any] = {
            "product": products.get(title="blue mug"),
            "request": request,
            "__name__": "snippet",
        }
        self.answer: Any = None
        """The last JSON that a console block received."""

    def run(self, block: Block) -> None:
        """Run one block. Raises whatever is wrong with it."""
        runners: dict[str, Callable[[Block], None]] = {
            "python": self.run_python,
            "django": self.run_template,
            "console": self.run_console,
            "json": self.compare_json,
        }
        runners[block.language](block)

    # Python

    def run_python(self, block: Block) -> None:
        name = block.file.rpartition("/")[2]
        special: dict[str, Callable[[Block], None]] = {
            "settings.py": self.run_settings,
            "urls.py": self.run_urls,
            "mmsearch.py": self.run_source,
            "admin.py": self.run_admin,
            "tests.py": self.run_tests,
        }
        if name in special:
            special[name](block)
        elif block.file:
            self.run_file(block)
        else:
            execute(block, self.names)

    def run_settings(self, block: Block) -> None:
        """The parts can be built, the apps and backends exist."""
        given: dict[str, Any] = {
            "BASE_DIR": settings.BASE_DIR,
            "INSTALLED_APPS": list(settings.INSTALLED_APPS),
            "MMSEARCH": deepcopy(settings.MMSEARCH),
            "os": os,
        }
        execute(block, given)
        for app in given["INSTALLED_APPS"]:
            AppConfig.create(app)
        for name in ("CACHES", "STORAGES", "DATABASES", "TASKS"):
            for value in given.get(name, {}).values():
                backend = value.get("BACKEND") or f"{value['ENGINE']}.base.DatabaseWrapper"
                import_string(backend)
        with override_settings(MMSEARCH=given["MMSEARCH"]):
            require_no_error()
        with redirect_stderr(io.StringIO()):  # which says that the index is in memory
            call_command("mmsearch_reindex")  # the index went with the settings

    def run_urls(self, block: Block) -> None:
        """The addresses can be resolved: all of them, by Django's own checks."""
        given: dict[str, Any] = {"path": path, "include": include, "urlpatterns": []}
        if "urlpatterns" in block.text:
            execute(block, given)
        else:
            given["urlpatterns"] = evaluate(f"[{block.text}]", block, given)
        module = ModuleType("snippet_urls")
        module.__dict__["urlpatterns"] = given["urlpatterns"]
        with patch.dict(sys.modules, snippet_urls=module):
            with override_settings(ROOT_URLCONF="snippet_urls"):
                assert given["urlpatterns"], "no address"
                require_no_error()
            clear_url_caches()

    def run_source(self, block: Block) -> None:
        """The sources pass the checks, are indexed, and a page of results shows their filters."""
        from mmsearch_app.models import Entry

        with registered_by(block, self.names) as names, override_settings(DEBUG=True):
            assert names, "nothing is registered"
            require_no_error()
            index_everything()
            for name in names:
                indexed = Entry.objects.filter(source=name, state="indexed").count()
                assert indexed, f"nothing of {name} is indexed"
            page = Client(headers={"host": "localhost"}).get("/find/", {"text": "mug"})
            assert page.status_code == 200, page.content
        index_everything()

    def run_admin(self, block: Block) -> None:
        """The lists of the pages registered here can be shown."""
        before = dict(admin.site._registry)
        try:
            execute(block, self.names)
            require_no_error()
            reload_urls()
            client = Client(headers={"host": "localhost"})
            client.force_login(get_user_model().objects.get())
            for model in set(admin.site._registry) - set(before):
                label = model._meta.label_lower.replace(".", "/")
                page = client.get(f"/admin/{label}/")
                assert page.status_code == 200, page.content
        finally:
            admin.site._registry.clear()
            admin.site._registry.update(before)
            reload_urls()

    def run_tests(self, block: Block) -> None:
        """The test cases pass."""
        module = self.run_file(block)
        suite = unittest.defaultTestLoader.loadTestsFromModule(module)
        assert suite.countTestCases(), "no test"
        report = io.StringIO()
        result = unittest.TextTestRunner(report).run(suite)
        assert result.wasSuccessful(), report.getvalue()

    def run_file(self, block: Block) -> ModuleType:
        """The file can be imported, here and by the blocks that follow."""
        name = block.file.removesuffix(".py").replace("/", ".")
        module = ModuleType(name)
        for package in (name.rpartition(".")[0],):
            if package and package not in sys.modules:
                sys.modules[package] = ModuleType(package)
        sys.modules[name] = module
        execute(block, module.__dict__)
        if hook := module.__dict__.get("post_worker_init"):
            hook(None)
        return module

    # Templates

    def run_template(self, block: Block) -> None:
        """It renders; a template with a file's name takes that one's place on the page."""
        name = block.file.removeprefix("templates/")
        if not name:
            names = {**self.names, "csrf_token": "token"}
            assert Template(block.text).render(Context(names)).strip(), "nothing is rendered"
            return
        with overriding(name, block.text):
            client = Client(headers={"host": "localhost"})
            for question in ({}, {"text": "mug"}, {"like": self.names["product"].pk}):
                page = client.get("/find/", question)
                assert page.status_code == 200, page.content
            assert name in {template.name for template in page.templates}, f"{name} is unused"

    # Commands

    def run_console(self, block: Block) -> None:
        """Commands of this project exist with these options; requests are made."""
        lines = block.text.replace("\\\n", " ").splitlines()
        commands = [line[2:] for line in lines if line.startswith("$ ")]
        assert commands, "no line begins with a prompt"
        for command in commands:
            self.run_command(command)

    def run_command(self, command: str) -> None:
        words = shlex.split(command, comments=True)
        while "=" in words[0]:
            words.pop(0)  # an environment variable
        match words:
            case ["python", "manage.py", name, *arguments]:
                parse_command(name, arguments)
            case ["python", "-m", module, *_]:
                assert importlib.util.find_spec(module), f"there is no module {module}"
            case ["make", target, *_]:
                makefile = (ROOT / "Makefile").read_text("utf-8")
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no target {target}"
            case ["pip", "install", *wanted]:
                require_extras(wanted)
            case ["curl", *arguments]:
                self.answer = request_by_curl(arguments)
            case [program, *_]:
                assert program in PROGRAMS, f"nobody knows what {program} is"

    def compare_json(self, block: Block) -> None:
        """It has the shape of the answer to the request before it on the page."""
        shown, real = shape_of(json.loads(block.text)), shape_of(self.answer)
        assert shown == real, f"the API answers {real}, not {shown}"


def execute(block: Block, names: dict[str, Any]) -> None:
    """Run the code; `await` is allowed, as in an async view."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * (block.line - 1) + block.text, block.page, "exec", flags=flags)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, names))  # noqa: S307 - the documentation's own
    else:
        exec(code, names)  # noqa: S102 - the documentation's own


def evaluate(text: str, block: Block, names: dict[str, Any]) -> Any:
    """The value of an expression."""
    return eval(compile(text, block.page, "eval"), names)  # noqa: S307


@contextmanager
def registered_by(block: Block, names: dict[str, Any]) -> Iterator[list[str]]:
    """Have the sources of a block registered; yields their names."""
    import mmsearch_app
    from mmsearch_app.testing import registered

    found: list[Any] = []

    def register(model: str) -> Callable[[type], type]:
        def decorate(source: type) -> type:
            found.append(source(apps.get_model(model)))
            return source

        return decorate

    with patch.object(mmsearch_app, "register", register):
        execute(block, names)
    with ExitStack() as stack:
        yield [stack.enter_context(registered(source)).name for source in found]


@contextmanager
def overriding(name: str, text: str) -> Iterator[None]:
    """Have the template found first, as in a shop's own folder."""
    engines: Any = deepcopy(settings.TEMPLATES)
    [engine] = engines
    engine["APP_DIRS"] = False
    engine["OPTIONS"]["loaders"] = [
        ("django.template.loaders.locmem.Loader", {name: text}),
        "django.template.loaders.filesystem.Loader",
        "django.template.loaders.app_directories.Loader",
    ]
    with override_settings(TEMPLATES=[engine]):
        yield


def reload_urls() -> None:
    """Let the addresses of the admin be those of the models registered now."""
    importlib.reload(importlib.import_module(settings.ROOT_URLCONF))
    clear_url_caches()


def require_no_error() -> None:
    """Raise AssertionError unless the system checks find no error."""
    wrong = [str(message) for message in run_checks() if message.level >= ERROR]
    assert not wrong, "\n".join(wrong)


def parse_command(name: str, arguments: list[str]) -> None:
    """Raise unless Django would start this management command with these arguments."""
    if name not in get_commands():
        file = ROOT / "example_shop" / "management" / "commands" / f"{name}.py"
        assert file.exists(), f"there is no command {name}"
        return
    command = load_command_class(get_commands()[name], name)
    with redirect_stderr(io.StringIO()) as said:
        try:
            command.create_parser("manage.py", name).parse_args(arguments)
        except SystemExit:
            raise AssertionError(said.getvalue()) from None


def require_extras(wanted: list[str]) -> None:
    """Raise unless every extra of mmsearch that is installed exists."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for requirement in wanted:
        found = re.fullmatch(r"mmsearch(?:\[([\w,-]+)\])?", requirement)
        for extra in (found[1] or "").split(",") if found else ():
            assert not extra or extra in project["optional-dependencies"], f"no extra {extra}"


def request_by_curl(arguments: list[str]) -> Any:
    """Make the request that curl would make, of this shop; returns the JSON of a 200."""
    form: dict[str, Any] = {}
    body, address = None, ""
    words = iter(arguments)
    for word in words:
        if word == "-F":
            name, _, value = next(words).partition("=")
            file = settings.BASE_DIR / value[1:]
            form[name] = file.open("rb") if value.startswith("@") else value
        elif word in ("-d", "--json"):
            body = next(words)
        elif word == "-H":
            next(words)
        else:
            address = word
    where = "/" + address.removeprefix("http://").partition("/")[2]
    client = Client(headers={"host": "localhost"})
    if body is not None:
        response = client.post(where, body, content_type="application/json")
    else:
        response = client.post(where, form) if form else client.get(where)
    assert response.status_code == 200, response.content
    return response.json()


def shape_of(value: Any) -> Any:
    """The keys of objects, and those of a list's first item; of all else the kind."""
    if isinstance(value, dict):
        free = value and all(isinstance(one, float) for one in value.values())
        return "numbers" if free else {key: shape_of(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape_of(value[0])] if value else []
    return "value"


def main() -> None:
    """Run all pages and report."""
    faults: dict[str, str] = {}
    page, name = Page(), ""
    for block in collect():
        if block.excuse or block.shop:
            continue
        if block.page != name:
            page, name = Page(), block.page
        try:
            with redirect_stdout(io.StringIO()):
                page.run(block)
        except Exception:
            faults[block.id] = traceback.format_exc()
    sys.stdout.write(json.dumps(faults))


if __name__ == "__main__":
    django.setup()
    setup_test_environment()
    os.chdir(settings.BASE_DIR)
    fill_shop()
    main()
