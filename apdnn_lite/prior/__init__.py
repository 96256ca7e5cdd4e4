"""What came before: the earlier ways to protect a network, one module for each family.

They take the same form as the attacks: each function is given exactly what its party
has (the owner, a judge, a thief), and nothing else. Small networks are enough to see
what each of them does, and what it leaves open; :class:`TinyCNN` is one.
"""

from . import activations, ckks, frontier, locks, poison, weights
from .networks import TinyCNN

__all__ = ["TinyCNN", "activations", "ckks", "frontier", "locks", "poison", "weights"]
