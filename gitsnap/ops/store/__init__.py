"""Which sidecar it is, and what it keeps: place, retention, configuration."""
