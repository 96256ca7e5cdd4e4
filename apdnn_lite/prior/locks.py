"""Passwords and encryption."""
