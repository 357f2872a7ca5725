"""A worker in a process of its own: `python -m tests.core.claimer DATABASE work|hang`.

Prints the ids that it claims, one a line.
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
    from mmsearch_app import ledger
    from mmsearch_app.ledger import Outcome
    from mmsearch_app.models import State

    while claimed := ledger.claim(5):
        sys.stdout.writelines(f"{entry.pk}\n" for entry in claimed)
        sys.stdout.flush()
        if mode == "hang":
            time.sleep(600)
        ledger.finish([Outcome(entry=entry, state=State.INDEXED) for entry in claimed])


if __name__ == "__main__":
    main(*sys.argv[1:])
