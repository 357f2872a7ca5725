"""Addresses of the shop in which the documentation's snippets run."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("find/", include("mmsearch_app.urls")),
    path("api/mmsearch/", include("mmsearch_app.api.urls")),
    path("admin/", admin.site.urls),
]
