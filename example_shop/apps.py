"""The Django app of the example shop."""

from __future__ import annotations

from django.apps import AppConfig


class ExampleShopConfig(AppConfig):
    name = "example_shop"
    verbose_name = "Shop"
    default_auto_field = "django.db.models.BigAutoField"
