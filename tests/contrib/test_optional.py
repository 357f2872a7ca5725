"""A shop that uses no contrib app imports none of their libraries."""

from __future__ import annotations

import pytest

from tests.fresh import imports

LIBRARIES = ("celery", "kombu", "django_tasks", "health_check", "prometheus_client")
ALL = "import django\ndjango.setup()\nimport mmsearch_app.searching, mmsearch_app.api.views"


@pytest.mark.parametrize("module", ["mmsearch_app.indexing.loop", "mmsearch_app.searching.tickets"])
def test_the_app_imports_none_of_the_libraries(module: str) -> None:
    assert imports(f"{ALL}, {module}", *LIBRARIES, "mmsearch_app.contrib") == []
