"""Measurements of speed, cost and quality: `python -m benchmarks.NAME`."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
