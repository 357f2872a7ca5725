"""URLs of the shop."""

from __future__ import annotations

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from example_shop import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("category/<slug:slug>/", views.category, name="category"),
    path("product/<slug:slug>/", views.product, name="product"),
    path("find/", include("mmsearch_app.urls")),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("robots.txt", views.robots, name="robots"),
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]
if settings.HAS_REST_FRAMEWORK:
    urlpatterns.append(path("api/mmsearch/", include("mmsearch_app.api.urls")))
