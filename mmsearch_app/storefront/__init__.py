"""The search page."""

from mmsearch_app.storefront.forms import like_key, like_link
from mmsearch_app.storefront.suggestions import SUGGESTIONS, suggest
from mmsearch_app.storefront.views import SearchView, query_picture, search_page
