"""The recorded runs of the chapter "A fingerprint at the frontier"."""

SETTINGS = {}


def measure(seed, owner, innocents, data):
    """What the record of one owner's seed says, and the marked network to be stored, or None."""
    raise NotImplementedError
