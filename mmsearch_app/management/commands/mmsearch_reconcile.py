"""Find changes that sent no signal, and mark them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from mmsearch_app.indexes import IndexFault
from mmsearch_app.indexing import reconcile, stamps
from mmsearch_app.management.commands._leftover import describe_leases
from mmsearch_app.management.commands._progress import require_sources


class Command(BaseCommand):
    """Only marks; a worker indexes. Meant for cron."""

    help = "Compare the shop's rows with the ledger and mark every difference."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="*", help="such as catalogue.productimage")
        parser.add_argument(
            "--deep", action="store_true", help="compare the ledger with the index, too"
        )
        parser.add_argument(
            "--take-over",
            action="store_true",
            help=(
                "after this database was restored from a backup: write to the index again, "
                "although it is newer; implies --deep"
            ),
        )
        parser.add_argument(
            "--files", action="store_true", help="read every file again, in case its bytes changed"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        require_sources()
        deep = options["deep"] or options["take_over"]
        started = now()
        try:
            if options["take_over"]:
                stamps.take_over()
            drift = reconcile(*options["source"], deep=deep, files=options["files"])
        except IndexFault as error:
            raise CommandError(str(error)) from error
        except KeyError as error:
            raise CommandError(error.args[0]) from error
        self.stdout.write(
            f"{drift.total} differences: {drift.changed} new or changed, {drift.gone} gone, "
            f"{drift.lost} lost from the index, {drift.strays} strays removed"
        )
        known = stamps.get_known()
        if known.healed_at and known.healed_at >= started:
            self.stdout.write(known.healed)
        if held := describe_leases():
            self.stdout.write(held)
