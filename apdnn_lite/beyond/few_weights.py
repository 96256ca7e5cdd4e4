"""A few hidden weights: the owner moves a hundred of them, and notes where they were.

After NNSplitter (Zhou et al., 2023), which finds the weights with a trained controller;
here a gradient is enough. The secret, places and values, is kept by a trusted part of
the computer. What changes a network returns a copy. The thief needs no label.
"""

import copy
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .._checks import check_images, whole_number
from .._machine import at_work, device_of
from .._network import check_effort, check_split, random_numbers, recording
from .memory import mismatch


class Secret(NamedTuple):
    """Places in all convolutions' weights, one after another, and the values there."""
    places: torch.Tensor
    values: torch.Tensor


def filters(net):
    """The weights of all convolutions, as parameters."""
    return [part.weight for part in net.modules() if isinstance(part, nn.Conv2d)]


def flat(tensors):
    """All their numbers one after another, whatever their memory layout, as a copy."""
    return torch.cat([each.detach().flatten() for each in tensors])


@torch.no_grad()
def write(net, numbers):
    """Put numbers into the weights of all convolutions, one after another."""
    parts = filters(net)
    for part, new in zip(parts, numbers.split([each.numel() for each in parts]),
                         strict=True):
        part.copy_(new.view(part.shape))


@recording()
def hide(net, split, count=100, rounds=5, seed=0, foresee=False):
    """Move ``count`` weights where it hurts most; returns (the locked copy, secret).

    In each round the owner takes the gradient of the cross-entropy on their images, and
    moves the weights that promise the largest loss, each to a random place in the outer
    part of its own layer's range: no weight sticks out.
    foresee: the owner expects a thief to estimate batch normalization anew, and takes
        the gradient of a network that uses the means of its batch (dropout, too).
    """
    check_split(split)
    rounds = whole_number("rounds", rounds)
    count = whole_number("count", count, most=sum(map(torch.numel, filters(net))))
    net, numbers = copy.deepcopy(net).requires_grad_(True), random_numbers(seed)
    net.train(foresee)
    remembered = {name: buffer.clone() for name, buffer in net.named_buffers()}
    before = flat(filters(net))
    low, high = (torch.cat([limit(each.detach()).expand(each.numel())
                            for each in filters(net)])
                 for limit in (torch.min, torch.max))
    moved = torch.zeros(len(before), dtype=torch.bool, device=before.device)
    split = split.to(before.device)
    for each in range(1, rounds + 1):
        loss = F.cross_entropy(net(split.images.clone()), split.labels)
        slope = flat(torch.autograd.grad(loss, filters(net)))
        now = flat(filters(net))
        part = 0.7 + 0.3 * torch.rand(len(now), generator=numbers).to(now)
        target = torch.where(slope > 0, high, low) * part
        gain = (slope * (target - now)).masked_fill(moved, -torch.inf)
        chosen = gain.topk(count * each // rounds - int(moved.sum())).indices
        now[chosen], moved[chosen] = target[chosen], True
        write(net, now)
    net.load_state_dict(remembered, strict=False)
    places = moved.nonzero()[:, 0]
    return net.requires_grad_(False).eval(), Secret(places, before[places])


def restore(net, secret):
    """A copy with the secret's values at the secret's places: the unlocked network."""
    net = copy.deepcopy(net)
    weights = flat(filters(net))
    weights[secret.places] = secret.values.to(weights)
    write(net, weights)
    return net


def wrong(net, secret, seed=0, places=False):
    """A guessed secret: values drawn among the network's weights, for random places.

    places: the thief has learned the true places, and guesses the values alone.
    """
    weights, numbers = flat(filters(net)), random_numbers(seed)
    n = len(secret.places)
    drawn = torch.randint(len(weights), (2, n), generator=numbers).to(weights.device)
    return Secret(secret.places if places else drawn[0], weights[drawn[1]])


@recording()
def heal(net, images, steps=60, lr=3e-4, batch_size=64, seed=0):
    """Move all filters until batch normalization sees again what it remembers.

    The thief descends the :func:`~apdnn_lite.beyond.memory.mismatch` of raw images by
    Adam. It tells nothing about labels, but the owner's weights had it near 0.
    """
    check_images(images)
    steps, batch_size = check_effort(steps, lr, batch_size)
    generator = random_numbers(seed)
    net, images = copy.deepcopy(net), images.to(device_of(net))
    with at_work(net, device=device_of(net)):
        moving = [each.requires_grad_(True) for each in filters(net)]
        optimizer = torch.optim.Adam(moving, lr)
        for _ in range(steps):
            order = torch.randperm(len(images), generator=generator, device="cpu")
            loss = mismatch(net, images[order[:batch_size].to(images.device)])
            grads = torch.autograd.grad(loss, moving)
            for each, grad in zip(moving, grads, strict=True):
                each.grad = grad
            optimizer.step()
    return net.requires_grad_(False).eval()


@recording()
def hunt(net, images, rounds=12, size=10):
    """Undo what the owner did: find the weights that disturb the memory, and zero them.

    Where the owner asks which weights raise the loss, the thief asks which would lower
    the :func:`~apdnn_lite.beyond.memory.mismatch` most if they were 0, and sets the
    first ``size`` of them to 0. A round that does not help is taken back, and the next
    one tries half as many.
    """
    check_images(images)
    rounds, size = whole_number("rounds", rounds), whole_number("size", size)
    net = copy.deepcopy(net)
    moving = [each.requires_grad_(True) for each in filters(net)]
    for _ in range(rounds):
        before, now = mismatch(net, images), flat(moving)
        slope = flat(torch.autograd.grad(before, moving))
        chosen = (slope * now).topk(size).indices
        write(net, now.index_fill(0, chosen, 0))
        with torch.no_grad():
            worse = mismatch(net, images) >= before
        if worse:
            write(net, now)
            size = max(1, size // 2)
    return net.requires_grad_(False).eval()
