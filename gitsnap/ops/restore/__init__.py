"""Bringing back: rollback, restore, undo, recover, merge."""
