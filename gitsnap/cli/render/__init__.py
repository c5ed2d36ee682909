"""Results as text, JSON, Markdown, progress. All that reaches a terminal goes through here."""
