"""An editor who works in a shop's own back office: opens a page, changes its form, sends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bs4 import BeautifulSoup, Tag
from django.contrib.auth import get_user_model
from django.test import Client


@dataclass(frozen=True)
class Editor:
    """A signed-in member of staff."""

    client: Client

    @classmethod
    def sign_in(cls) -> Editor:
        """Sign in as a new superuser."""
        user = get_user_model().objects.create_superuser("editor", "editor@example.com", "secret")
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return cls(client)

    def send(
        self, url: str, changes: Mapping[str, Any] | None = None, *, form: str = "", **extra: Any
    ) -> Any:
        """Open the page, change fields of its form as a browser shows it, and send it.

        `form` is a CSS selector of the form; by default it is the one with all of the changes.
        Returns the response, which must be a redirect.
        """
        changes = {**(changes or {}), **extra}
        page = self.client.get(url)
        assert page.status_code == 200, (url, page.status_code)
        soup = BeautifulSoup(page.content, "html.parser")
        forms = [*soup.select(form or "form[method=post], form[method=POST]")]
        found = forms[0] if form and forms else _choose(forms, changes)
        data = {name: value for name, value in _fields(found) if changes.get(name, "") is not None}
        data |= {name: value for name, value in changes.items() if value is not None}
        response = self.client.post(str(found.get("action") or url) or url, data)
        assert response.status_code == 302, _complaint(response)
        return response


def _choose(forms: list[Tag], changes: Mapping[str, Any]) -> Tag:
    """The first form that has all of the fields that are changed."""
    for form in forms:
        names = {str(field.get("name")) for field in form.select("[name]")}
        if names >= set(changes):
            return form
    known = [sorted({str(f.get("name")) for f in form.select("[name]")}) for form in forms]
    raise AssertionError(f"No form has {sorted(changes)}; there are {known}")


def _fields(form: Tag) -> Iterator[tuple[str, Any]]:
    """What a browser sends for the form as it is, without its buttons and files."""
    chosen: dict[str, list[str]] = {}
    for field in form.select("input[name], textarea[name], select[name]"):
        name, kind = str(field["name"]), field.get("type", "text")
        if field.name == "select":
            options = list(field.select("option[selected]"))
            if not options and not field.has_attr("multiple"):
                options = list(field.select("option")[:1])
            for option in options:
                chosen.setdefault(name, []).append(str(option.get("value", option.text)))
        elif field.name == "textarea":
            chosen.setdefault(name, []).append(field.text.removeprefix("\n"))
        elif kind in ("checkbox", "radio"):
            if field.has_attr("checked"):
                chosen.setdefault(name, []).append(str(field.get("value", "on")))
        elif kind not in ("submit", "button", "image", "reset", "file"):
            chosen.setdefault(name, []).append(str(field.get("value", "")))
    yield from chosen.items()


def _complaint(response: Any) -> str:
    soup = BeautifulSoup(response.content, "html.parser")
    wrong = soup.select(".error, .errors, .errorlist, .invalid-feedback, .error-message, .alert")
    said = " / ".join(" ".join(tag.text.split()) for tag in wrong)
    return f"{response.status_code}: {said or ' '.join(soup.text.split())[:2000]}"
