"""Commands of others: shells and process groups."""
