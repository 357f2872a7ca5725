"""Start-up: pokes go to django.tasks."""

from collections.abc import Iterable
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, register
from django.utils.translation import gettext_lazy as _


class TasksConfig(AppConfig):
    """Uses Django's own tasks from Django 6.0 on, and those of django-tasks before."""

    name = "mmsearch_app.contrib.tasks"
    label = "mmsearch_tasks"
    verbose_name = _("Multimodal search by tasks")

    def ready(self) -> None:
        """Listen to pokes. Raises ImportError, with the remedy, where the backport is missing."""
        from mmsearch_app.contrib.tasks.tasks import poke
        from mmsearch_app.indexing import listen

        register(check_backend)
        listen(poke)


def check_backend(**options: Any) -> Iterable[CheckMessage]:
    """W010, W011: tasks run in another process than the index allows, or in no other."""
    from mmsearch_app.contrib.queue import check_index, warn_of_immediate
    from mmsearch_app.contrib.tasks.tasks import is_immediate

    return [warn_of_immediate()] if is_immediate() else check_index(**options)
