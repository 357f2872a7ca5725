"""What the processes of `child` have in common; imported once, before anything is opened."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
import django

django.setup()
import pymilvus  # noqa: E402, F401

import tests.faults.steps  # noqa: E402, F401
