"""Start-up: find the shop's sources and connect their signals; load and open nothing."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class MMSearchConfig(AppConfig):
    name = "mmsearch_app"
    label = "mmsearch_app"
    verbose_name = _("Multimodal search")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from mmsearch_app.checks import register_checks
        from mmsearch_app.indexing import connect, start_with_requests
        from mmsearch_app.warming import start_where_served

        register_checks()
        autodiscover_modules("mmsearch")
        connect()
        start_with_requests()
        start_where_served()
