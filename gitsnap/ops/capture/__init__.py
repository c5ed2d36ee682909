"""Snapshots: reuse what has not changed, or scan; then store, between hooks."""
