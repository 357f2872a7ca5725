"""Indexing by django.tasks or its backport django-tasks.

`INSTALLED_APPS += ["mmsearch_app.contrib.tasks"]`.
"""
