"""Untrusted images: open them safely, in one normal form."""

from mmsearch_app.images.open import InvalidImage, digest, encode_jpeg, open_image, read_bytes
from mmsearch_app.images.uploads import CappedUpload, UploadTooLarge, cap_uploads, discard
