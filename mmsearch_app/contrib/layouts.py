"""A check of the order in INSTALLED_APPS, which decides whose templates are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Warning

WITH_A_LAYOUT = ("mmsearch_app.contrib.oscar", "mmsearch_app.contrib.wagtail")
"""Apps that put the results page into a shop's layout."""


def check_order(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """W030: an app with a layout is listed after `mmsearch_app`, whose templates then win."""
    names = [config.name for config in apps.get_app_configs()]
    ours = names.index("mmsearch_app")
    return [
        Warning(
            f"{name} is listed after mmsearch_app in INSTALLED_APPS: the results page does not "
            "have the shop's layout.",
            hint=f"Put {name!r} before 'mmsearch_app'.",
            id="mmsearch_app.W030",
        )
        for name in names[ours:]
        if name in WITH_A_LAYOUT
    ]
