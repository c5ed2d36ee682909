"""An upgrade: its two halves, the command between them, its checks and its outcome."""
