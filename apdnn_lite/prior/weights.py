"""A mark in the weights."""
