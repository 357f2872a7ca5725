"""The Celery app and the WSGI application of the shop that `benchmarks.soak` runs."""

from celery import Celery
from django.core.wsgi import get_wsgi_application

app = Celery("soak")
app.config_from_object("django.conf:settings", namespace="CELERY")
application = get_wsgi_application()
