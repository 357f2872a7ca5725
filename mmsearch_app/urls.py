"""The storefront: `path("find/", include("mmsearch_app.urls"))`."""

from __future__ import annotations

from django.urls import path

from mmsearch_app.storefront import query_picture, search_page

app_name = "mmsearch"

urlpatterns = [
    path("", search_page, name="search"),
    path("picture/<str:token>/", query_picture, name="picture"),
]
