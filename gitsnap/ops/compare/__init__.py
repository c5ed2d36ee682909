"""Two states side by side: changes, patches, renames, keys of configuration files."""
