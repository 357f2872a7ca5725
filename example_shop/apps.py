"""Start-up of the example shop."""

from __future__ import annotations

from django.apps import AppConfig


class ExampleShopConfig(AppConfig):
    """The shop: products, their pictures, pages and commands."""

    name = "example_shop"
    verbose_name = "Shop"
    default_auto_field = "django.db.models.BigAutoField"
