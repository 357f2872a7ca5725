"""Sources: what the shop registers, and what its rows say."""

from mmsearch_app.sources import paths
from mmsearch_app.sources.base import (
    ImageSource,
    find_links,
    find_pictures,
    from_primary,
    is_kind_of,
)
from mmsearch_app.sources.paths import Path
from mmsearch_app.sources.registry import find_model, register, registry
from mmsearch_app.sources.values import entry_key, key_field, key_of, scalar, signature

__all__ = [
    "ImageSource",
    "Path",
    "entry_key",
    "find_links",
    "find_model",
    "find_pictures",
    "from_primary",
    "is_kind_of",
    "key_field",
    "key_of",
    "paths",
    "register",
    "registry",
    "scalar",
    "signature",
]
