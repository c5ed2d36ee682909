"""The sidecar repository: packs, notes, refs, timeline. The only layer that imports dulwich."""
