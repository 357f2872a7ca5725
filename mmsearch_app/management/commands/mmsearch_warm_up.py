"""Download the models' weights and try to load them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mmsearch_app.backends import loadable
from mmsearch_app.inference import Usage, measure_usage


class Command(BaseCommand):
    """Only the download stays: each serving process loads the models itself, at its first search
    or by `mmsearch_app.warm_up`."""

    help = (
        "Download the models' weights, which a search never does, load them, and report the time "
        "and memory. Run it when a machine is set up and after a change of the models."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        for name, part in loadable():
            self.stdout.write(f"{name:<9} {type(part).__name__}: {_warm_up(part)}")


def _warm_up(part: Any) -> Usage | str:
    if not hasattr(part, "warm_up"):
        return "has nothing to load"
    try:
        return measure_usage(part.warm_up)
    except Exception as error:  # whatever a part raises, the operator needs to know
        msg = f"{type(part).__name__} cannot be loaded: {type(error).__name__}: {error}"
        raise CommandError(msg) from error
