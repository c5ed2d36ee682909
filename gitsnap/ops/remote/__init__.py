"""Copies of snapshots elsewhere."""
