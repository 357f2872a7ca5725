from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PrometheusConfig(AppConfig):
    """Registers the metrics. Nothing is read before the first scrape."""

    name = "mmsearch_app.contrib.prometheus"
    label = "mmsearch_prometheus"
    verbose_name = _("Multimodal search in Prometheus")

    def ready(self) -> None:
        """Raise ImportError, naming the extra to install, if prometheus-client is missing."""
        from mmsearch_app.contrib.prometheus.registries import register_metrics

        register_metrics()
