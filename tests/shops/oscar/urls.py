from typing import Any

from django.apps import apps
from django.conf import settings
from django.conf.urls.static import static
from django.urls import include, path

oscar: Any = apps.get_app_config("oscar")
urlpatterns = [
    path("find/", include("mmsearch_app.urls")),
    path("api/mmsearch/", include("mmsearch_app.api.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
    path("", include(oscar.urls[0])),
]
