"""The API: `path("api/mmsearch/", include("mmsearch_app.api.urls"))`."""

from __future__ import annotations

from django.urls import path

from mmsearch_app.api import views

app_name = "mmsearch_api"

urlpatterns = [
    path("v1/search/", views.SearchAPIView.as_view(), name="search"),
    path("v1/search/<str:token>/", views.PageView.as_view(), name="page"),
    path("v1/search/<str:token>/rerank/", views.RerankView.as_view(), name="rerank"),
    path("v1/health/", views.HealthView.as_view(), name="health"),
]
