"""Search in the pages of a Wagtail site: `INSTALLED_APPS = ["mmsearch_app.contrib.wagtail", …]`.

Put it before `mmsearch_app`, so that the results page has the site's layout. Wagtail has no model
of products: register the site's own page type with `register_page`.
"""

from mmsearch_app.contrib.wagtail.source import PageImages, register_page
