"""The shop's Celery app, as in Celery's guide for Django but without `autodiscover_tasks`."""

from celery import Celery

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
