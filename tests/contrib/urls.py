"""The shop's URLs and those for monitoring."""

from django.urls import include, path
from health_check.views import HealthCheckView
from prometheus_client.django import PrometheusDjangoView

from mmsearch_app.contrib.prometheus.registries import build_registry

urlpatterns = [
    path("", include("example_shop.urls")),
    path("health/", HealthCheckView.as_view(checks=["mmsearch_app.contrib.health.ProductSearch"])),
    path("metrics/", PrometheusDjangoView.as_view(registry=build_registry())),
]
