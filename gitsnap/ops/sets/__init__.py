"""Several directories, one upgrade: taken together, brought back together, settled together."""
