"""Searching: from a visitor's query to an answer."""

from mmsearch_app.searching import tickets
from mmsearch_app.searching.build import build_query, find_products
from mmsearch_app.searching.cache import canonical_jpeg
from mmsearch_app.searching.filters import MAX_VALUE_LENGTH, MAX_VALUES
from mmsearch_app.searching.guard import Guard, get_guard
from mmsearch_app.searching.query import Answer, Busy, Hit, InvalidQuery, Query, SearchUnavailable
from mmsearch_app.searching.reference import find_pictured, pictures_of_reference
from mmsearch_app.searching.rerank import apply_known, is_offered
from mmsearch_app.searching.retrieve import searchable
from mmsearch_app.searching.search import answer, check_admission, search
from mmsearch_app.searching.throttle import seconds_to_wait
from mmsearch_app.searching.tickets import Expired, Forged
from mmsearch_app.searching.trial import try_filters
