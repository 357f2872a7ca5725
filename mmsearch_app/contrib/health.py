"""A check for django-health-check (4 or later): would a search work now?"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from asgiref.sync import sync_to_async

from mmsearch_app.health import Health, examine
from mmsearch_app.inference import needing

with needing("health"):
    from health_check.base import HealthCheck
    from health_check.exceptions import ServiceUnavailable


@dataclasses.dataclass
class ProductSearch(HealthCheck):  # type: ignore[misc]
    """Pass if the index is live, was built by the configured model, and the ledger can be read.

    Add "mmsearch_app.contrib.health.ProductSearch" to `HealthCheckView.checks`. A backlog does
    not make the check fail.
    """

    timeout: timedelta = dataclasses.field(default=timedelta(seconds=5), repr=False)

    async def run(self) -> None:
        """Raise ServiceUnavailable, with a message without secrets; causes go to the log."""
        # sync_to_async: an executor thread would leave its database connection open.
        health = await sync_to_async(examine)()
        if not health.ok:
            raise ServiceUnavailable(_explain(health))


def _explain(health: Health) -> str:
    if health.index != "live":
        return f"the search index is {health.index}"
    if health.model == "differs":
        return "the search index was made by another model; run mmsearch_reindex"
    if health.model == "loading":
        return "the embedding model is being loaded"
    if health.model != "matches":
        return "the embedding model is unavailable"
    return "the ledger cannot be read"
