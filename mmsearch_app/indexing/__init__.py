"""From a saved image to the index."""

from mmsearch_app.indexing import ledger, notify, rebuild, stamps
from mmsearch_app.indexing.batch import EmbedderDown
from mmsearch_app.indexing.floors import measure_floors
from mmsearch_app.indexing.generations import find_live
from mmsearch_app.indexing.leases import give_back_all
from mmsearch_app.indexing.loop import WorkerLoop, start_with_requests
from mmsearch_app.indexing.marks import paused
from mmsearch_app.indexing.notify import listen
from mmsearch_app.indexing.overlap import ModelHangs, require_model
from mmsearch_app.indexing.receivers import connect, is_known, mark
from mmsearch_app.indexing.reconcile import reconcile
from mmsearch_app.indexing.trial import try_document, try_statements
from mmsearch_app.indexing.worker import Drained, drain
