"""`open_image` with the limits that a shop has by default."""

from functools import partial

from mmsearch_app import images
from mmsearch_app.conf import Settings

open_image = partial(images.open_image, **Settings().upload_caps)
