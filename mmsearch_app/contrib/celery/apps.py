from django.apps import AppConfig
from django.core.checks import register
from django.utils.translation import gettext_lazy as _


class CeleryConfig(AppConfig):
    """Registers the tasks with every Celery app, with or without `autodiscover_tasks`."""

    name = "mmsearch_app.contrib.celery"
    label = "mmsearch_celery"
    verbose_name = _("Multimodal search by Celery")

    def ready(self) -> None:
        """Raise ImportError, naming the extra to install, if Celery is missing."""
        from mmsearch_app.contrib.celery.tasks import wake
        from mmsearch_app.contrib.queue import check_index
        from mmsearch_app.indexing import listen

        register(check_index)
        listen(wake)
