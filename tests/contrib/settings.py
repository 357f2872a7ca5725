"""Settings of a shop with a task queue or monitoring, which runs in separate processes."""

import os
from importlib.util import find_spec

from tests.settings import *  # noqa: F403
from tests.settings import DATA_DIR, INSTALLED_APPS, MMSEARCH

INSTALLED_APPS = [*INSTALLED_APPS, *os.environ["SHOP_APPS"].split()]
ROOT_URLCONF = "tests.contrib.urls"
ALLOWED_HOSTS = ["testserver"]
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": DATA_DIR / "cache",
    }
}
MMSEARCH = {**MMSEARCH, "BATCH_SIZE": 1}
_library = "django.tasks" if find_spec("django.tasks") else "django_tasks"
_tasks = os.environ.get("SHOP_TASKS", f"{_library}.backends.immediate.ImmediateBackend")
TASKS = {"default": {"BACKEND": _tasks}}
if "SHOP_OWN_TASKS" in os.environ:
    TASKS["mmsearch"] = {"BACKEND": _tasks}

MESSAGES = DATA_DIR / "messages"
MESSAGES.mkdir(exist_ok=True)
CELERY_BROKER_URL = os.environ.get("SHOP_BROKER", "filesystem://localhost")
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        "data_folder_in": MESSAGES,
        "data_folder_out": MESSAGES,
        "control_folder": DATA_DIR / "control",
    }
    if CELERY_BROKER_URL.startswith("filesystem")
    else {}
)
CELERY_BROKER_CONNECTION_TIMEOUT = float(os.environ.get("SHOP_TIMEOUT", "4"))
CELERY_TASK_ALWAYS_EAGER = "SHOP_EAGER" in os.environ
