"""Celery wakes and clocks the left road: `INSTALLED_APPS += ["mmsearch_app.contrib.celery"]`."""
