"""A real django-oscar and a real Wagtail, in the environment of `make test-shops`."""
