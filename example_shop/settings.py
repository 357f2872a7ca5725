"""Settings of the example shop. A deployment configures it by environment variables.

- `SHOP_DATA`: folder for the database, the images and the vector index; `var/` by default.
- `SHOP_HOSTS`: host names to serve. If unset, the shop runs in debug mode and serves this machine
  only; if set, it runs in production mode.
- `SHOP_SECRET_KEY`: Django's secret key; required in production mode.
- `DATABASE_URL`: `postgres://user:password@host:port/name`, or `mysql://…` for MySQL and MariaDB;
  SQLite by default.
- `MILVUS_URI` and `MILVUS_TOKEN`: a Milvus server; a Milvus Lite file by default.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("SHOP_DATA") or BASE_DIR / "var").resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)

HOSTS = os.environ.get("SHOP_HOSTS", "").replace(",", " ").split()
DEBUG = not HOSTS
ALLOWED_HOSTS = HOSTS or ["localhost", "127.0.0.1", "[::1]"]
SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "")
if not SECRET_KEY:
    if not DEBUG:
        msg = "SHOP_HOSTS is set, so SHOP_SECRET_KEY must be set too, to 50 random characters."
        raise ImproperlyConfigured(msg)
    SECRET_KEY = "django-insecure-for-a-shop-that-only-this-machine-can-reach"  # noqa: S105

HAS_REST_FRAMEWORK = find_spec("rest_framework") is not None

INSTALLED_APPS = [
    "example_shop",
    "mmsearch_app",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
if HAS_REST_FRAMEWORK:
    INSTALLED_APPS.append("rest_framework")
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_shop.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "example_shop.urls"
WSGI_APPLICATION = "example_shop.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "example_shop.views.frame",
            ]
        },
    }
]

ENGINES = {"postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql"}


def _database(url: str) -> dict[str, Any]:
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "shop.sqlite3",
            "OPTIONS": {
                # Without IMMEDIATE, a second writer gets "database is locked" mid-transaction.
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
                "timeout": 20,
            },
        }
    parts = urlsplit(url)
    if parts.scheme not in ENGINES:
        msg = "DATABASE_URL must look like postgres://user:password@host:port/name or mysql://…"
        raise ImproperlyConfigured(msg)
    return {
        "ENGINE": f"django.db.backends.{ENGINES[parts.scheme]}",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "CONN_MAX_AGE": 60,
    }


DATABASES = {"default": {**_database(os.environ.get("DATABASE_URL", "")), "ATOMIC_REQUESTS": True}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

MMSEARCH = {
    "INDEX": {
        "BACKEND": "mmsearch_app.indexes.milvus.MilvusIndex",
        "OPTIONS": {
            "uri": os.environ.get("MILVUS_URI") or str(DATA_DIR / "milvus.db"),
            "token": os.environ.get("MILVUS_TOKEN", ""),
        },
    },
    # Only one process can open a Milvus Lite file, so the web process must index as well.
    "WORKER_THREAD": not os.environ.get("MILVUS_URI", "").startswith("http"),
}

LANGUAGE_CODE = "en-gb"
LANGUAGES = [
    ("en-gb", "British English"),
    ("de", "German"),
    ("fr", "French"),
    ("es", "Spanish"),
    ("nl", "Dutch"),
    ("it", "Italian"),
]
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
MEDIA_URL = "media/"
MEDIA_ROOT = DATA_DIR / "media"

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = not DEBUG
SECURE_HSTS_SECONDS = 0 if DEBUG else 31_536_000

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        # One line per image of every page would bury the messages that matter.
        "django.server": {"level": "ERROR"},
        "django.request": {"level": "ERROR"},
        "mmsearch_app": {"level": "INFO"},
    },
}
