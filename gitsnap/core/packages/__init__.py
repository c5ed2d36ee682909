"""Packages: which are there by what their own records say, and what became of them."""
