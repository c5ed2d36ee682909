"""Everything that forks: the pool, and what its workers do."""
