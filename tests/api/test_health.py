"""The health endpoint: whether a search would work now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from example_shop.models import ProductImage
from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexes.base import IndexUnavailable
from mmsearch_app.indexing import ledger
from tests.api.parts import SECRET, Contrary

Use = Callable[..., None]
Fill = Callable[[], Any]


def look(api: APIClient) -> Any:
    return api.get(reverse("mmsearch_api:health"))


def test_a_working_shop_is_healthy(api: APIClient, catalogue: Any) -> None:
    response = look(api)
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok", "index": "live", "model": "matches", "waiting": 0, "indexing": "ok",
    }  # fmt: skip


def test_a_backlog_is_counted_but_is_healthy(api: APIClient, catalogue: Any) -> None:
    ProductImage.objects.first().save()  # type: ignore[union-attr]
    assert ledger.waiting().count() == 1
    response = look(api)
    assert response.status_code == 200
    assert response.json()["waiting"] == 1


def test_an_index_that_was_never_built_is_degraded(api: APIClient, db: None) -> None:
    response = look(api)
    assert response.status_code == 503
    assert response.json()["status"] == "degraded"
    assert response.json()["index"] == "not built"


@pytest.mark.parametrize("fault", [IndexUnavailable(SECRET), RuntimeError(SECRET)])
def test_an_unavailable_index_is_degraded_and_the_cause_is_not_shown(
    api: APIClient, use: Use, fill: Fill, fault: Exception
) -> None:
    use(INDEX={"BACKEND": "tests.api.parts.MovableIndex"})
    fill()
    get_index().fault = fault  # type: ignore[attr-defined]
    response = look(api)
    assert response.status_code == 503
    assert response.json()["index"] == "unreachable"
    assert SECRET not in response.content.decode()


def test_an_index_made_by_another_model_is_degraded(api: APIClient, catalogue: Any) -> None:
    get_embedder().fingerprint = "another"
    response = look(api)
    assert response.status_code == 503
    assert response.json()["model"] == "differs"


def test_health_is_not_throttled_and_calls_no_model(api: APIClient, use: Use, fill: Fill) -> None:
    use(THROTTLE_RATE="1/hour", RERANKER={"BACKEND": "tests.api.parts.Contrary"})
    fill()
    Contrary.calls = 0
    assert [look(api).status_code for _ in range(3)] == [200, 200, 200]
    assert Contrary.calls == 0
