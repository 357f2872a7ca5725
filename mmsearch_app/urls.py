"""The storefront: `path("search/", include("mmsearch_app.urls"))`."""

from __future__ import annotations

from django.urls import path

from mmsearch_app import views

app_name = "mmsearch"

urlpatterns = [
    path("", views.search, name="search"),
    path("picture/<str:token>/", views.picture, name="picture"),
]
