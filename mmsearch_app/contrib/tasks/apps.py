from collections.abc import Iterable
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, register
from django.utils.translation import gettext_lazy as _


class TasksConfig(AppConfig):
    """Uses Django's own tasks from Django 6.0 on, and django-tasks before."""

    name = "mmsearch_app.contrib.tasks"
    label = "mmsearch_tasks"
    verbose_name = _("Multimodal search by tasks")

    def ready(self) -> None:
        """Raise ImportError, naming the extra to install, if the backport is missing."""
        from mmsearch_app.contrib.tasks.tasks import wake
        from mmsearch_app.indexing import listen

        register(check_backend)
        listen(wake)


def check_backend(**options: Any) -> Iterable[CheckMessage]:
    """W010 and W011: tasks must run in a process of their own that can open the index."""
    from mmsearch_app.contrib.queue import check_index, check_not_immediate
    from mmsearch_app.contrib.tasks.tasks import is_immediate

    return check_not_immediate(immediate=is_immediate()) or check_index(**options)
