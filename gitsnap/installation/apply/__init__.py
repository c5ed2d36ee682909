"""Changing the directory: stages, moves, modes and times, by a record that somebody has journaled."""
