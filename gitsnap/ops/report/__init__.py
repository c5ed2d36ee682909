"""What upgrades did, for people: history, changelog, the report's facts, and secrets taken out."""
