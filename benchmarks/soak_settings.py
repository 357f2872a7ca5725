"""Settings of the shop that `benchmarks.soak` runs: the example shop as in production."""

from __future__ import annotations

import os

from example_shop.settings import *  # noqa: F403
from example_shop.settings import INSTALLED_APPS as APPS

DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False
INSTALLED_APPS = [*APPS, "mmsearch_app.contrib.celery"]
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ["SOAK_REDIS"],
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    }
}
CELERY_BROKER_URL = f"{os.environ['SOAK_REDIS']}/1"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULE = {"drain": {"task": "mmsearch.drain", "schedule": 5.0}}
MMSEARCH = {
    "EMBEDDER": {
        "BACKEND": "mmsearch_app.embedders.openai.OpenAICompatibleEmbedder",
        "OPTIONS": {
            "base_url": os.environ["SOAK_MODEL"],
            "model": "soak",
            "dimension": int(os.environ["SOAK_DIMENSION"]),
        },
    },
    "INDEX": {
        "BACKEND": "mmsearch_app.indexes.milvus.MilvusIndex",
        "OPTIONS": {"uri": os.environ["MILVUS_URI"]},
    },
    "LEASE_SECONDS": 10,
    "RETRY_SECONDS": 1,
    "POLL_SECONDS": 1.0,
    "THROTTLE_RATE": "1000000/min",
}
