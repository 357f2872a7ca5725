"""A small shop that uses `mmsearch_app` the way any Django shop would."""
