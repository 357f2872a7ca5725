"""django.tasks, or its backport, wakes workers:
`INSTALLED_APPS += ["mmsearch_app.contrib.tasks"]`."""
