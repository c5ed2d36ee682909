"""The audit log: what is written down of each thing that gitsnap did or refused, and where else it is told."""
