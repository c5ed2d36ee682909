"""Walking the directory: entries, digests, and whether anything has changed."""
