"""A mark in the activations."""
