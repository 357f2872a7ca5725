"""Indexing by Celery: `INSTALLED_APPS += ["mmsearch_app.contrib.celery"]`."""
