"""Beyond the source: thieves with a few labels or none, mended locks, later locks.

One module a subject, each read with its chapter in the part "Beyond".
"""

from . import (
    blockwise,
    channels,
    few_weights,
    labels,
    memory,
    mended,
    nontransfer,
    passports,
    thieves,
)

__all__ = ["blockwise", "channels", "few_weights", "labels", "memory", "mended",
           "nontransfer", "passports", "thieves"]
