"""Indexes: where the vectors are kept and searched, behind the protocol of `base`."""
