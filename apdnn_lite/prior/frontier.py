"""A fingerprint at the frontier."""
