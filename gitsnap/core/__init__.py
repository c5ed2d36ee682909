"""The pure core: nouns, texts, decisions. No input or output, no clock, no environment."""
