"""Start-up: pokes go to Celery."""

from django.apps import AppConfig
from django.core.checks import register
from django.utils.translation import gettext_lazy as _


class CeleryConfig(AppConfig):
    """Its tasks are known to every Celery app, with or without `autodiscover_tasks`."""

    name = "mmsearch_app.contrib.celery"
    label = "mmsearch_celery"
    verbose_name = _("Multimodal search by Celery")

    def ready(self) -> None:
        """Listen to pokes. Raises ImportError, with the remedy, where Celery is missing."""
        from mmsearch_app.contrib.celery.tasks import poke
        from mmsearch_app.contrib.queue import check_index
        from mmsearch_app.indexing import listen

        register(check_index)
        listen(poke)
