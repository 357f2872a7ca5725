"""Sources: what the shop registers, and what its rows say."""

from mmsearch_app.sources import paths
from mmsearch_app.sources.base import ADDRESSES, ImageSource, find_model, find_pictures
from mmsearch_app.sources.discovery import explain_empty
from mmsearch_app.sources.display import (
    file_of,
    file_url_of,
    forget_logged,
    image_srcset_of,
    image_url_of,
    label_of,
    load_rows,
    popular_rows,
    product_of,
    read_safely,
    stand_in_of,
    takes_visitor,
    title_of,
    url_of,
    visible_rows,
)
from mmsearch_app.sources.fields import TYPES
from mmsearch_app.sources.filters import Filter, FilterReader, FilterSpec, Trees
from mmsearch_app.sources.paths import Path
from mmsearch_app.sources.querysets import fault_of, from_primary, is_kind_of
from mmsearch_app.sources.registry import register, registry, specs
from mmsearch_app.sources.types import UNFIT, EnumType, Span, ValueType
from mmsearch_app.sources.values import entry_key, key_field, key_of, signature
from mmsearch_app.sources.watched import ManyLink, Watched, many_links, watched_by
