"""Beyond the source: thieves with a few labels or none, mended locks, later locks.

One module a subject, each read with its chapter in the part "Beyond".
"""

from . import labels, mended, thieves

__all__ = ["labels", "mended", "thieves"]
