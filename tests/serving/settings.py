"""Settings of a small shop that a real server serves; MMSEARCH comes from the environment."""

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import MMSEARCH as BASE

MMSEARCH = {
    **BASE,
    "WORKER_THREAD": True,
    "POLL_SECONDS": 0.2,
    **json.loads(os.environ["MMSEARCH"]),
}
