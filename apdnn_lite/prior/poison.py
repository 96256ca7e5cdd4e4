"""A mark in the data."""
