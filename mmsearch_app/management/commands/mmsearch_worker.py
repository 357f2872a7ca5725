"""Index what waits, until stopped or once."""

from __future__ import annotations

from argparse import ArgumentTypeError
from threading import Event
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from mmsearch_app.indexing import ModelHangs, WorkerLoop, drain, give_back_all, require_model
from mmsearch_app.management.commands._leftover import describe_leases, describe_time
from mmsearch_app.management.commands._progress import bar, require_sources, warn_of_memory
from mmsearch_app.management.commands._stopping import end_process, stopping
from mmsearch_app.models import Entry


class Command(BaseCommand):
    """The first SIGTERM or Ctrl-C lets the batch at hand finish, the second stops at once.

    It exits with 0 after the first signal, with 128 + its number after the second (143, 130), and
    with 1 if the model hangs; with `--once` also if something is unavailable or an image failed.
    """

    help = "Embed the images that wait and write them to the index. Start as many as you like."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="stop when nothing waits")
        parser.add_argument(
            "--limit", type=_read_limit, metavar="N", help="stop after N images at the latest"
        )

    def run_from_argv(self, argv: list[str]) -> None:
        """End the process even if a thread hangs in the model, which nothing can interrupt."""
        try:
            super().run_from_argv(argv)
        except SystemExit as end:
            try:
                require_model()
            except ModelHangs:
                end_process(int(end.code or 0))
            raise

    def handle(self, *args: Any, **options: Any) -> None:
        require_sources()
        if options["once"]:
            self._once(limit=options["limit"], verbosity=options["verbosity"])
        else:
            self._keep_working(limit=options["limit"])

    def _keep_working(self, *, limit: int | None) -> None:
        service = WorkerLoop(limit=limit)
        with stopping(stop=service.stop, leave=service.abandon):
            self.stdout.write("Waiting for work; Ctrl-C stops after the batch at hand.")
            try:
                service.run(patient=False)
            except ModelHangs as error:
                msg = f"{error} Its images were given back; start the worker again."
                raise CommandError(msg) from error
        self.stdout.write(str(service.total))

    def _once(self, *, limit: int | None, verbosity: int) -> None:
        waiting = Entry.objects.filter(due_at__isnull=False).count()
        total = waiting if limit is None else min(waiting, limit)
        stopped = Event()
        with (
            stopping(stop=stopped.set, leave=give_back_all),
            bar(total, label="Indexing", verbosity=verbosity) as progress,
        ):
            drained = drain(limit=limit, stopped=stopped.is_set, progress=progress.update)
        self.stdout.write(str(drained))
        self._print_postponed()
        warn_of_memory(self)
        if drained.problem or drained.failed:
            raise CommandError(drained.problem or "Some images failed; they will be tried again.")

    def _print_postponed(self) -> None:
        if held := describe_leases():
            self.stdout.write(held)
        left = Entry.objects.filter(due_at__gt=now()).order_by("due_at")
        if due := left.values_list("due_at", flat=True).first():
            stamp = describe_time(due)
            self.stdout.write(f"{left.count()} wait for another attempt, the first at {stamp}.")


def _read_limit(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        msg = f"{given!r} must be a whole number of images, at least 1"
        raise ArgumentTypeError(msg)
    return int(given)
