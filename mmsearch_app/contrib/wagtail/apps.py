from django.apps import AppConfig
from django.core.checks import register
from django.utils.translation import gettext_lazy as _


class WagtailSearchConfig(AppConfig):
    """Marks what no field of a page shows, and puts the results page into the site's layout."""

    name = "mmsearch_app.contrib.wagtail"
    label = "mmsearch_wagtail"
    verbose_name = _("Multimodal search for Wagtail")

    def ready(self) -> None:
        """Raise ImportError, naming the extra to install, if Wagtail is missing."""
        from mmsearch_app.contrib.layouts import check_order
        from mmsearch_app.contrib.wagtail.changes import watch_site

        register(check_order)
        watch_site()
