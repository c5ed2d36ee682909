"""The manual pages, made of the reference and the parser: python -m gitsnap.cli.manual.write DIR."""
