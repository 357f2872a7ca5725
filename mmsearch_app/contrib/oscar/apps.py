from django.apps import AppConfig
from django.core.checks import register
from django.utils.translation import gettext_lazy as _


class OscarSearchConfig(AppConfig):
    """Registers the shop's product images, and marks what the dashboard changes in bulk."""

    name = "mmsearch_app.contrib.oscar"
    label = "mmsearch_oscar"
    verbose_name = _("Multimodal search for django-oscar")

    def ready(self) -> None:
        """Raise ImportError, naming the extra to install, if django-oscar is missing."""
        from mmsearch_app.contrib.layouts import check_order
        from mmsearch_app.contrib.oscar.changes import watch_shop

        register(check_order)
        watch_shop()
