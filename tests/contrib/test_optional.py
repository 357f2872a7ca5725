"""A shop that uses no contrib app imports none of their libraries."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from tests.fresh import imports

LIBRARIES = ("celery", "kombu", "django_tasks", "health_check", "prometheus_client")
ALL = "import django\ndjango.setup()\nimport mmsearch_app.searching, mmsearch_app.api.views"


@pytest.mark.parametrize("module", ["mmsearch_app.indexing.loop", "mmsearch_app.searching.tickets"])
def test_the_app_imports_none_of_the_libraries(module: str) -> None:
    assert imports(f"{ALL}, {module}", *LIBRARIES, "mmsearch_app.contrib") == []


@pytest.mark.parametrize(("library", "module"), [("oscar", "changes"), ("wagtail", "access")])
def test_a_shop_that_is_not_installed_is_named_with_its_extra(
    library: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [library, *(name for name in sys.modules if name.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"mmsearch\[{library}\]"):
        import_module(f"mmsearch_app.contrib.{library}.{module}")
