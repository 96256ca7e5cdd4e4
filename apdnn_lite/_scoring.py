"""A thief's scores of many candidates, faster on a machine that multiplies faster in fewer digits.

A rough score is enough to tell that a key is far from the best one. Those near it are scored again.
"""

import math

import torch

from ._machine import device_of, pick_precision
from ._network import ask, suited

# Nats: twice the most that bfloat16 has moved a score of the book's networks, 0.095 on 50 images.
# On 200 it was 0.019. Where all keys are nearer to each other than this, all are scored twice.
MARGIN = 0.2


def scores_of(score, net, images, transforms, precision="float32"):
    """``score(logits)`` of the network's answers to images after each transform, a list.

    precision: of a first round over all candidates; "auto" is the fastest on the network's device.
        Those that may be the best are then scored again in float32, from the top down, until the
        next one is behind by more than a margin: ``MARGIN``, or twice the most that a score has
        moved so far. No score that moved by less than this margin can change the pick: it is that
        of float32, and so is its score. The others keep their rough scores, which are lower.

    A network whose own numbers are not float32, or that fails in the other precision, is asked as
    it is.
    """
    transforms, device = list(transforms), device_of(net)
    if not transforms:
        raise ValueError("an attack needs at least one transform to try, got none")
    fewer_digits, own = pick_precision(precision, device), suited(images[:1], net).dtype
    if own != torch.float32 or fewer_digits == torch.float32:
        return [score(ask(net, images, each)) for each in transforms]
    try:
        with torch.autocast(device.type, fewer_digits):
            rough = [score(ask(net, images, each).float()) for each in transforms]
    except (RuntimeError, TypeError):  # it mixes its own numbers with those of the precision
        return scores_of(score, net, images, transforms)
    return exact_at_the_top(rough, lambda place: score(ask(net, images, transforms[place])))


def exact_at_the_top(rough, exact):
    """The rough scores, with ``exact(place)`` in place of each that may be the highest."""
    scores, best, moved = list(rough), -math.inf, 0.0
    # A candidate without a rough score may be anything: it comes first.
    hopes = [each if math.isfinite(each) else math.inf for each in rough]
    for place in sorted(range(len(rough)), key=hopes.__getitem__, reverse=True):
        if hopes[place] + max(MARGIN, 2 * moved) < best:
            break
        scores[place] = exact(place)
        best = max(best, scores[place])
        if math.isfinite(rough[place]):
            moved = max(moved, abs(scores[place] - rough[place]))
    return scores
