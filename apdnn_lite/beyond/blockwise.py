"""Block-wise keys: one secret rule for every little block of an image.

AprilPyone and Kiya (2021) cut images into blocks of M×M pixels, shuffle the pixels of
each by one secret order, or turn some of them to their negative, and train a network on
such images alone. The rule is the key. The thief has the network and raw images; a
thief with labels, those of the images, too.
"""

import numpy as np
import torch
from torch.nn import functional as F

from .. import _checks as checks
from .._network import ask, check_classes, independent_seeds
from ..attacks import information
from ..transforms import Candidates, Transform


class BlockKey(Transform):
    """Shuffle the pixels of each M×M block, and turn those marked to their negative.

    A rule is ``order`` and ``flipped``, both (channels·M²,): pixel k of a block becomes
    the old pixel ``order[k]``, or 1 minus it.

    size: M, which must divide the images' height and width. shuffle, flip: which of the
        two the owner does. channels: of the images.
    seed: as in :class:`~apdnn_lite.transforms.Fixed`.
    """

    def __init__(self, size=4, shuffle=True, flip=True, channels=1, seed=None):
        super().__init__()
        self.size = checks.whole_number("size", size)
        channels = checks.whole_number("channels", channels)
        self.shape, n = (channels, None, None), channels * size ** 2
        numbers = np.random.default_rng(checks.checked_seed(seed))
        order, coins = numbers.permutation(n), numbers.random(n) < 0.5
        order = order if checks.yes_or_no("shuffle", shuffle) else np.arange(n)
        coins = coins & checks.yes_or_no("flip", flip)
        self.register_buffer("order", torch.from_numpy(order))
        self.register_buffer("flipped", torch.from_numpy(coins))

    def perturbation(self, x):
        """What the rule changes in raw images x (N, C, H, W), of their shape."""
        if x.shape[2] % self.size or x.shape[3] % self.size:
            raise ValueError(f"blocks of {self.size}×{self.size} do not tile images of "
                             f"{x.shape[2]}×{x.shape[3]} pixels")
        blocks = F.pixel_unshuffle(x, self.size)  # a channel for each place in it
        moved = blocks[:, self.order]
        moved = torch.where(self.flipped[:, None, None], 1 - moved, moved)
        return F.pixel_shuffle(moved, self.size) - x

    def settings(self):
        """Its kind and its rule, as JSON for records."""
        return {**super().settings(), "size": self.size, "order": self.order.tolist(),
                "flipped": self.flipped.int().tolist()}

    def changed(self, flip=(), swap=()):
        """Another key: the pixels at the places ``flip`` turned, or two swapped."""
        other = BlockKey(self.size, channels=self.shape[0], seed=0)
        other.to(self.order.device)
        other.order.copy_(self.order)
        other.flipped.copy_(self.flipped)
        other.flipped[list(flip)] ^= True
        if swap:
            other.order[list(swap)] = self.order[list(reversed(swap))]
        return other


def guess(images, size=4, shuffle=True, flip=True, keys=20, seed=0):
    """Keys drawn as the owner draws theirs: a thief without a better idea."""
    return [BlockKey(size, shuffle, flip, images.shape[1], each)
            for each in independent_seeds(seed, "keys", keys)]


def search(net, images, labels=None, size=4, tries=4, swaps=True, seed=0, passes=6):
    """Climb one bit at a time: turn a pixel of the block, and keep what scores better.

    Each try starts from random bits and the plain order, and goes through the M² bits
    until none helps. With ``swaps``, the best try then goes through all pairs of
    places, and its bits once more. The score is the answers' own
    :func:`~apdnn_lite.attacks.information`; with ``labels``, minus the cross-entropy.

    Returns the Candidates, one a try, by the thief's own score.
    """
    checks.check_images(images)
    tries = checks.whole_number("tries", tries)
    passes = checks.whole_number("passes", passes)

    def score(key):
        logits = ask(net, images, key)
        if labels is None:
            return information(logits).item()
        check_classes(labels, logits.shape[1])
        return -F.cross_entropy(logits, labels.to(logits.device)).item()

    found = [climb(score, key, passes)
             for key in guess(images, size, False, True, tries, seed)]
    if swaps:
        best = max(range(tries), key=lambda each: found[each][1])
        n = len(found[best][0].order)
        pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
        found[best] = climb(score, found[best][0], 1, pairs)
        found[best] = climb(score, found[best][0], 1)
    return Candidates([key for key, _ in found], [value for _, value in found])


def climb(score, key, passes, pairs=None):
    """(the better key, its score) after passes over all bits, or pairs of places."""
    best = score(key)
    moves = [{"flip": [k]} for k in range(len(key.order))]
    moves = moves if pairs is None else [{"swap": pair} for pair in pairs]
    for _ in range(passes):
        before = best
        for move in moves:
            other = key.changed(**move)
            value = score(other)
            if value > best:
                key, best = other, value
        if best == before:
            break
    return key, best
