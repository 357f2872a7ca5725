"""From a saved image to the index."""

from mmsearch_app.indexing import ledger, notify, rebuild
from mmsearch_app.indexing.batch import EmbedderDown
from mmsearch_app.indexing.ledger import paused
from mmsearch_app.indexing.loop import WorkerLoop, start_with_requests
from mmsearch_app.indexing.notify import listen
from mmsearch_app.indexing.receivers import connect, is_known, mark
from mmsearch_app.indexing.reconcile import reconcile
from mmsearch_app.indexing.worker import drain

__all__ = [
    "EmbedderDown",
    "WorkerLoop",
    "connect",
    "drain",
    "is_known",
    "ledger",
    "listen",
    "mark",
    "notify",
    "paused",
    "rebuild",
    "reconcile",
    "start_with_requests",
]
