"""What of the live directory counts, and what stands in the way: exclusions, databases, a pending rollback."""
