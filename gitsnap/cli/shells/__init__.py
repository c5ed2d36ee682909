"""The shells: their completion scripts, and how words are quoted in them."""
