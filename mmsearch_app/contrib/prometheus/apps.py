"""Start-up: searches are counted, and the default registry knows what to ask at a scrape."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PrometheusConfig(AppConfig):
    """Nothing is read before the first scrape."""

    name = "mmsearch_app.contrib.prometheus"
    label = "mmsearch_prometheus"
    verbose_name = _("Multimodal search in Prometheus")

    def ready(self) -> None:
        """Raises ImportError, with the remedy, where prometheus-client is missing."""
        from mmsearch_app.contrib.prometheus.registries import register_metrics

        register_metrics()
