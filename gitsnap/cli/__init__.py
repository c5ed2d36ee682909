"""The command line: the only layer that prints and that reads the environment."""
