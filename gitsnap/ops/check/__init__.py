"""Checking: snapshots, and what gitsnap needs around them."""
