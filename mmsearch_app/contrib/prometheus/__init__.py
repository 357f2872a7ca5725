"""Metrics for Prometheus: `INSTALLED_APPS += ["mmsearch_app.contrib.prometheus"]`."""
