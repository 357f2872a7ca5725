"""Rebuild the index, or embed the images of named sources again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mmsearch_app.indexes import IndexFault
from mmsearch_app.indexing import (
    EmbedderDown,
    ledger,
    mark,
    measure_floors,
    rebuild,
    reconcile,
    stamps,
)
from mmsearch_app.management.commands._leftover import (
    describe_leases,
    describe_missing,
    describe_unusable,
    drain_all,
)
from mmsearch_app.management.commands._progress import bar, require_sources, warn_of_memory
from mmsearch_app.sources import registry


class Command(BaseCommand):
    """Exit code 1 if images failed; running it again continues where it stopped."""

    help = (
        "Without names: fill a new index beside the live one with every image, then switch. "
        "With names of sources: embed their images again, in the live index."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="*", help="such as catalogue.productimage")
        parser.add_argument(
            "--tolerant",
            action="store_true",
            help="switch even if some images cannot be read now; they stay due",
        )
        parser.add_argument(
            "--allow-loss",
            action="store_true",
            help="switch even if the new index lacks most images of the old one",
        )
        parser.add_argument(
            "--take-over",
            action="store_true",
            help="replace the index even if another database, or a copy of this one, fills it",
        )
        parser.add_argument(
            "--later", action="store_true", help="only request it; a worker does the work"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        require_sources()
        try:
            if options["take_over"]:
                stamps.take_over()
            if options["source"]:
                self._sources(options)
            elif options["later"]:
                rebuild.request_rebuild()
                self.stdout.write("A worker will rebuild the index.")
            else:
                self._everything(options)
            warn_of_memory(self)
        except (IndexFault, EmbedderDown, rebuild.RebuildBlocked) as error:
            raise CommandError(str(error)) from error
        except KeyError as error:
            raise CommandError(error.args[0]) from error

    def _everything(self, options: dict[str, Any]) -> None:
        with bar(None, label="Indexing", verbosity=options["verbosity"]) as progress:

            def show(done: int, total: int) -> None:
                progress.total = total
                progress.update(done - progress.n)

            row = rebuild.rebuild_index(
                progress=show, tolerant=options["tolerant"], allow_loss=options["allow_loss"]
            )
        drained = drain_all(self)
        measure_floors()
        states = ledger.counts()
        self.stdout.write(
            f"{states['indexed']} images indexed, {states['empty']} rows without an image, "
            f"{states['rejected']} not usable, {states['failed']} given up; live: {row.generation}"
        )
        if missing := describe_missing():
            self.stderr.write(self.style.WARNING(missing))
        if drained.problem or states["failed"]:
            raise CommandError(drained.problem or "Some images could not be indexed.")
        if held := describe_leases():
            raise CommandError(held)
        unusable = describe_unusable()
        if unusable and not states["indexed"] and not options["allow_loss"]:
            raise CommandError(unusable)

    def _sources(self, options: dict[str, Any]) -> None:
        sources = [registry.get(name) for name in options["source"]]
        reconcile(*options["source"])
        count = 0
        for source in sources:
            count += mark(source.get_queryset(), force=True)
        if options["later"]:
            self.stdout.write(f"{count} images marked; a worker will index them.")
            return
        with bar(count, label="Indexing", verbosity=options["verbosity"]) as progress:
            drained = drain_all(self, progress=progress.update)
        self.stdout.write(str(drained))
        if drained.problem or drained.failed:
            raise CommandError(drained.problem or "Some images could not be indexed.")
        if held := describe_leases():
            raise CommandError(held)
