"""The shop's Celery app, as Celery's guide for Django has it, but for `autodiscover_tasks`."""

from celery import Celery

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
