"""Load the models now, instead of at the first search."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mmsearch_app.conf import get_embedder, get_reranker
from mmsearch_app.usage import Usage, measure


class Command(BaseCommand):
    """A serving process loads them itself; what stays is the download and the files' cache."""

    help = (
        "Download the models' weights, which a search never does, load them, and say what that "
        "takes. Run it when a machine is set up and after the EMBEDDER has changed."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Embedder first, then the reranker, if there is one."""
        for name, part in (("embedder", get_embedder()), ("reranker", get_reranker())):
            if part is not None:
                self.stdout.write(f"{name:<9} {type(part).__name__}: {_warm_up(part)}")


def _warm_up(part: Any) -> Usage | str:
    if not hasattr(part, "warm_up"):
        return "has nothing to load"
    try:
        return measure(part.warm_up)
    except Exception as error:  # whatever a part raises is what the operator needs to know
        msg = f"{type(part).__name__} cannot be loaded: {type(error).__name__}: {error}"
        raise CommandError(msg) from error
