"""Refused requests, each with a problem document."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from mmsearch_app.backends import get_index
from mmsearch_app.indexes.base import IndexUnavailable
from tests.api.conftest import Ask, problem
from tests.api.parts import SECRET


def break_index(fault: Exception) -> None:
    get_index().fault = fault  # type: ignore[attr-defined]


@pytest.mark.parametrize("question", [{}, {"text": "  ", "like": ""}, {"limit": 3}])
@pytest.mark.parametrize("form", [True, False])
def test_an_empty_question_is_answered_with_the_possible_fields(
    ask: Ask, db: None, form: bool, question: dict[str, Any]
) -> None:
    names = ["image", "text", "like"] if form else ["text", "like"]
    document = problem(ask(form=form, **question), 400)
    assert list(document["errors"]) == names
    assert document["detail"] == f"Give at least one of {', '.join(names)}."


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", "x" * 501),
        ("text", ["red"]),
        ("text", {"a": 1}),
        ("text", True),
        ("text", "a\0b"),
        ("without", "x" * 501),
        ("limit", 0),
        ("limit", 101),
        ("limit", "many"),
        ("limit", 1.5),
        ("limit", [1]),
        ("like", "999999"),
        ("like", "' OR 1=1"),
        ("like", 10**40),
        ("like", {"pk": 1}),
        ("rerank", "perhaps"),
        ("rerank", {}),
        ("price", "cheap"),
        ("price", {"$gt": 0}),
        ("price", [[1]]),
        ("price", [1] * 101),
        ("price__lte", "NaN"),
        ("price__lte", "Infinity"),
        ("price__lte", [1, 2]),
        ("category", "mug' or 1=1"),
        ("image", "aGVsbG8="),
        ("colour", "red"),
        ("category__gte", 1),
        ("filters", {"category": 1}),
        ("offset", 3),
        ("user", 1),
    ],
)
def test_an_invalid_field_is_named(ask: Ask, db: None, field: str, value: Any) -> None:
    document = problem(ask(**{"text": "mug", field: value}), 400)
    assert list(document["errors"]) == [field]
    assert all(document["errors"][field])


def test_an_unknown_field_is_answered_with_the_known_fields(ask: Ask, db: None) -> None:
    [sentence] = problem(ask(text="mug", colour="red"), 400)["errors"]["colour"]
    for name in ("text", "like", "without", "limit", "rerank", "category", "price__lte"):
        assert f" {name}" in sentence


def test_an_image_in_json_is_answered_with_the_right_way(ask: Ask, db: None) -> None:
    [sentence] = problem(ask(image="aGVsbG8="), 400)["errors"]["image"]
    assert "multipart/form-data" in sentence


def test_an_image_as_text_of_a_form_is_refused(ask: Ask, db: None) -> None:
    document = problem(ask(form=True, image="http://localhost/a.jpg"), 400)
    assert document["errors"] == {"image": ["Send the picture as a file of the form."]}


def test_many_unknown_fields_get_a_short_answer(ask: Ask, db: None) -> None:
    response = ask(text="mug", **{f"{number}".zfill(600): 1 for number in range(100)})
    problem(response, 400)
    assert len(response.content) < 5_000


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_another_method_is_not_allowed(api: APIClient, db: None, method: str) -> None:
    response = getattr(api, method)(reverse("mmsearch_api:search"))
    problem(response, 405)
    assert "POST" in response.headers["Allow"]


def test_what_is_not_json_is_not_acceptable(api: APIClient, db: None) -> None:
    problem(api.post(reverse("mmsearch_api:search"), {"text": "mug"}, HTTP_ACCEPT="image/png"), 406)


def test_too_many_requests_get_a_retry_after(
    ask: Ask, use: Callable[..., None], fill: Callable[[], Any]
) -> None:
    use(THROTTLE_RATE="2/min")
    fill()
    assert [ask(text="mug").status_code for _ in range(2)] == [200, 200]
    response = ask(text="mug")
    problem(response, 429)
    assert 1 <= int(response.headers["Retry-After"]) <= 60


def test_the_rate_is_read_at_every_request(
    ask: Ask, use: Callable[..., None], fill: Callable[[], Any], settings: Any
) -> None:
    use(THROTTLE_RATE="1/hour")
    fill()
    ask(text="mug")
    problem(ask(text="mug"), 429)
    index = get_index()
    use(THROTTLE_RATE=None)
    assert ask(text="mug").status_code != 429
    assert get_index() is not index


def test_one_address_does_not_use_up_the_rate_of_another(
    api: APIClient, use: Callable[..., None], db: None
) -> None:
    use(THROTTLE_RATE="1/hour")
    statuses = [
        api.post(reverse("mmsearch_api:search"), {}, REMOTE_ADDR=address).status_code
        for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2")
    ]
    assert statuses == [400, 429, 400]


def test_an_unavailable_index_gets_a_retry_after(
    ask: Ask, use: Callable[..., None], fill: Callable[[], Any]
) -> None:
    use(INDEX={"BACKEND": "tests.api.parts.MovableIndex"})
    fill()
    break_index(IndexUnavailable(SECRET))
    response = ask(text="mug")
    problem(response, 503)
    assert int(response.headers["Retry-After"]) > 0
    assert SECRET not in response.content.decode()


def test_an_index_that_was_never_built_gets_a_retry_after(ask: Ask, db: None) -> None:
    problem(ask(text="mug"), 503)


@pytest.mark.parametrize("debug", [True, False])
def test_a_server_error_is_logged_and_answered_without_details(
    use: Callable[..., None],
    fill: Callable[[], Any],
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    debug: bool,
) -> None:
    use(INDEX={"BACKEND": "tests.api.parts.MovableIndex"})
    fill()
    break_index(RuntimeError(SECRET))
    settings.DEBUG = debug
    client = APIClient(raise_request_exception=False)
    with caplog.at_level(logging.ERROR):
        response = client.post(reverse("mmsearch_api:search"), {"text": "mug"}, format="json")
    problem(response, 500)
    assert SECRET not in response.content.decode()
    assert SECRET in caplog.text


def test_the_shops_own_tests_see_the_exception(
    ask: Ask, use: Callable[..., None], fill: Callable[[], Any]
) -> None:
    use(INDEX={"BACKEND": "tests.api.parts.MovableIndex"})
    fill()
    break_index(RuntimeError(SECRET))
    with pytest.raises(RuntimeError, match="hunter2"):
        ask(text="mug")


def test_the_projects_exception_handler_is_not_called(ask: Ask, settings: Any, db: None) -> None:
    settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": "tests.api.parts.explode"}
    problem(ask(), 400)


def test_a_shop_can_require_a_login(db: None, rf: Any) -> None:
    from rest_framework.authentication import BasicAuthentication
    from rest_framework.permissions import IsAuthenticated

    from mmsearch_app.api.views import SearchAPIView

    view = SearchAPIView.as_view(
        permission_classes=[IsAuthenticated], authentication_classes=[BasicAuthentication]
    )
    response = view(rf.post("/", {"text": "mug"}))
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic")
    assert json.loads(response.content)["status"] == 401
