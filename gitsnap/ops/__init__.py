"""One module for each verb. Operations wire the installation and the sidecar, and return results."""
