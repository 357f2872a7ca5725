"""A small shop that uses `mmsearch_app` as any Django shop would."""
