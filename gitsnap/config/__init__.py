"""Configuration files and the environment become settings."""
