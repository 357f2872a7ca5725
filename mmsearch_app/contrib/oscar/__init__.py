"""Search in a django-oscar shop: `INSTALLED_APPS = ["mmsearch_app.contrib.oscar", …]`.

Put it before `mmsearch_app`, so that the results page has the shop's layout.
"""

from mmsearch_app.contrib.oscar.source import OscarImages
