"""The admin pages of the index, and a mixin for the shop's own admin classes."""

from mmsearch_app.admin.entries import EntryAdmin
from mmsearch_app.admin.mixin import ReindexMixin

__all__ = ["EntryAdmin", "ReindexMixin"]
