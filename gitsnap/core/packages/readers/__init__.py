"""One module for each ecosystem. They are found by being here: see registry.reader()."""
