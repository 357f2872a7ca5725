"""The example shop without a throttle, and with the time that a request came in."""

import os

from example_shop.settings import *  # noqa: F403
from example_shop.settings import MMSEARCH

MMSEARCH = {
    **MMSEARCH,
    "THROTTLE_RATE": None,
    "REQUEST_START_HEADER": "X-Request-Start",
    "RERANKER": None,
    "MAX_WAIT_SECONDS": float(os.environ.get("MAX_WAIT_SECONDS", "5")),
}
