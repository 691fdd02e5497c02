"""Rows on their way to the store as bytes: packed, on disk, unpacked, erased."""
