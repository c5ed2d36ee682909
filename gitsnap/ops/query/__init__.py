"""Looking around: snapshots, files, their history, the present state."""
