"""Index what waits, until stopped or once."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now, template_localtime

from mmsearch_app.indexing import WorkerLoop, drain
from mmsearch_app.management.commands._progress import bar, warn_of_memory
from mmsearch_app.models import Entry


class Command(BaseCommand):
    """SIGTERM and Ctrl-C let the batch at hand finish."""

    help = "Embed the images that wait and write them to the index. Start as many as you like."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="stop when nothing waits")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            self._once(options)
            return
        service = WorkerLoop()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: service.stop())
        self.stdout.write("Waiting for work; Ctrl-C stops after the batch at hand.")
        service.run()
        self.stdout.write(str(service.total))

    def _once(self, options: dict[str, Any]) -> None:
        waiting = Entry.objects.filter(due_at__isnull=False).count()
        with bar(waiting, label="Indexing", verbosity=options["verbosity"]) as progress:
            drained = drain(progress=progress.update)
        self.stdout.write(str(drained))
        self._print_postponed()
        warn_of_memory(self)
        if drained.problem or drained.failed:
            raise CommandError(drained.problem or "Some images failed; they will be tried again.")

    def _print_postponed(self) -> None:
        left = Entry.objects.filter(due_at__gt=now()).order_by("due_at")
        if first := left.first():
            when = template_localtime(first.due_at).isoformat(" ", "seconds")
            self.stdout.write(f"{left.count()} wait for another attempt, the first at {when}.")
