"""A site as `wagtail start` sets one up, with one line more for the search."""

from tests.shops.settings import *  # noqa: F403
from tests.shops.settings import CONTEXT_PROCESSORS, DJANGO_APPS, MIDDLEWARE

INSTALLED_APPS = [
    "tests.shops.wagtail",
    "mmsearch_app.contrib.wagtail",
    "mmsearch_app",
    "wagtail.contrib.forms",
    "wagtail.contrib.redirects",
    "wagtail.embeds",
    "wagtail.sites",
    "wagtail.users",
    "wagtail.snippets",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.search",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
    "taggit",
    "django_filters",
    *DJANGO_APPS,
]
MIDDLEWARE = [*MIDDLEWARE, "wagtail.contrib.redirects.middleware.RedirectMiddleware"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": CONTEXT_PROCESSORS},
    }
]
LANGUAGES = WAGTAIL_CONTENT_LANGUAGES = [("en", "English"), ("de", "German")]
WAGTAIL_SITE_NAME = "Shop"
WAGTAILADMIN_BASE_URL = "http://localhost"
ROOT_URLCONF = "tests.shops.wagtail.urls"
