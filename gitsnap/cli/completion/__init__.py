"""What the shells complete: which word is being typed, and what may stand there."""
