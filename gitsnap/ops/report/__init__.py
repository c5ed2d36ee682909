"""What upgrades did, for people: history, changelog and the report's facts."""
