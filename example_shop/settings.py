"""Settings of the example shop, by environment variables where a deployment differs.

- `SHOP_DATA`: folder of the database, the pictures and the vector index; `var/` unless given.
- `SHOP_HOSTS`: the host names to answer to. Without it the shop is in debug mode and answers to
  this machine only; with it, it is in production mode.
- `SHOP_SECRET_KEY`: the secret; required in production mode.
- `DATABASE_URL`: `postgres://user:password@host:port/name`; SQLite unless given.
- `MILVUS_URI` and `MILVUS_TOKEN`: a Milvus server; a Milvus Lite file unless given.
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

HOSTS = [host for host in os.environ.get("SHOP_HOSTS", "").replace(",", " ").split() if host]
DEBUG = not HOSTS
ALLOWED_HOSTS = HOSTS or ["localhost", "127.0.0.1", "[::1]"]
SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "")
if not SECRET_KEY:
    if not DEBUG:
        msg = "SHOP_HOSTS is set, so SHOP_SECRET_KEY must be set as well: 50 random characters."
        raise ImproperlyConfigured(msg)
    SECRET_KEY = "django-insecure-for-a-shop-that-only-this-machine-can-reach"  # noqa: S105

HAS_REST_FRAMEWORK = find_spec("rest_framework") is not None

INSTALLED_APPS = [
    "example_shop",
    "mmsearch_app",
    *(["rest_framework"] if HAS_REST_FRAMEWORK else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
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
                "example_shop.views.departments",
            ]
        },
    }
]


def _database(url: str) -> dict[str, Any]:
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "shop.sqlite3",
            "OPTIONS": {
                # Without IMMEDIATE, two writers meet "database is locked" in mid-transaction.
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
                "timeout": 20,
            },
        }
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        msg = "DATABASE_URL must look like postgres://user:password@host:port/name."
        raise ImproperlyConfigured(msg)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "CONN_MAX_AGE": 60,
    }


DATABASES = {
    "default": {**_database(os.environ.get("DATABASE_URL", "")), "ATOMIC_REQUESTS": True},
}
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
    # A Milvus Lite file belongs to one process: the one that serves the shop indexes as well.
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
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
MEDIA_URL = "media/"
MEDIA_ROOT = DATA_DIR / "media"

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = not DEBUG
SECURE_HSTS_SECONDS = 0 if DEBUG else 31_536_000

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        # One line for every picture of every page would bury what matters in a terminal.
        "django.server": {"level": "ERROR"},
        "django.request": {"level": "ERROR"},
        "mmsearch_app": {"level": "INFO"},
    },
}
