"""The terminal browser: screens over the same operations that the commands call. Only `browse` imports textual."""
