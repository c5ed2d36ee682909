"""SQLite databases in use, captured as consistent images."""
