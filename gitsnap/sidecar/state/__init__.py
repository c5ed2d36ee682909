"""gitsnap's own small files in a sidecar. Each says what losing it costs."""
