"""Found by autodiscovery. A shop that registers its own source of this model replaces it."""

from mmsearch_app.contrib.oscar.source import OscarImages
from mmsearch_app.sources import register

register("catalogue.ProductImage", default=True)(OscarImages)
