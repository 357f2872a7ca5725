"""A worker in a separate process: `python -m tests.indexing.claimer DATABASE work|hang`.

Prints the ids of the entries it claims, one per line.
"""

from __future__ import annotations

import os
import sys
import time


def main(database: str, mode: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    django.setup()
    from mmsearch_app.indexing import ledger
    from mmsearch_app.indexing.ledger import Outcome
    from mmsearch_app.models import State

    while claimed := ledger.claim(5):
        sys.stdout.writelines(f"{entry.pk}\n" for entry in claimed)
        sys.stdout.flush()
        if mode == "hang":
            time.sleep(600)
        ledger.finish([Outcome(entry=entry, state=State.INDEXED) for entry in claimed])


if __name__ == "__main__":
    main(*sys.argv[1:])
