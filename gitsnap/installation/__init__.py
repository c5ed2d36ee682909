"""The protected directory: scanning, capturing and changing it, through directory descriptors only."""
