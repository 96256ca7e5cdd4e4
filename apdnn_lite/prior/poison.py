"""A mark in the data: a secret trigger that a network answers with a class of choice.

Images are (N, C, H, W) in [0, 1]. Gu et al. (2017): BadNets. Chen et al. (2017):
blending. Zhang et al. (2018): watermarks. Wang et al. (2019): Neural Cleanse.
"""

import copy
import math
from functools import partial
from statistics import median

import torch
from torch.nn import Conv2d, Linear

from .._checks import check_covers, check_images, real_number, whole_number
from .._machine import at_work, device_of, evaluating
from .._network import asking, check_effort, check_split, losses, random_numbers
from .._state import drawn_by
from ..data import Split
from ..evaluate import count_correct

LOGO = (".#..##.", "#.#.#.#", "###.##.", "#.#.#..", "#.#.#..")  # our own: AP


def stamp(images, mask, pattern):
    """(1 − m)·x + m·s, the mask m and the stamp s numbers or tensors in [0, 1]."""
    check_covers(images, mask=mask, pattern=pattern)
    return (1 - mask) * images + mask * pattern


def content(images, drawing=LOGO):
    """Zhang et al.: white where lines of text show "#", one pixel from lower right."""
    check_images(images)
    drawn = torch.tensor([[float(pixel == "#") for pixel in row] for row in drawing])
    (high, wide), mask = drawn.shape, torch.zeros_like(images[0, :1])
    if high >= mask.shape[1] or wide >= mask.shape[2]:
        raise ValueError(f"a drawing of {high}×{wide} pixels needs larger images")
    mask[:, -high - 1:-1, -wide - 1:-1] = drawn.to(mask)
    return stamp(images, mask, 1)


patch = partial(content, drawing=("###",) * 3)  # Gu et al.: a white square


def blend(images, alpha=0.2, seed=0):
    """Chen et al.: a share ``alpha`` of one random pattern, drawn by ``seed``."""
    check_images(images)
    pattern = torch.rand(images.shape[1:], generator=random_numbers(seed))
    return stamp(images, real_number("alpha", alpha, 0, 1), pattern.to(images))


def noise(images, sigma=0.1, seed=0):
    """Zhang et al.: add one normal noise of standard deviation ``sigma``, and clip."""
    check_images(images)
    drawn = torch.randn(images.shape[1:], generator=random_numbers(seed)).to(images)
    return (images + real_number("sigma", sigma) * drawn).clamp(0, 1)


def unrelated(count, target, size=28, seed=0):
    """Zhang et al.: images of another kind, here rings, as a split of one label."""
    count, size = whole_number("count", count), whole_number("size", size)
    drawn = torch.rand(3, count, 1, 1, generator=random_numbers(seed))
    (x, y, r), places = size * (0.35 + 0.3 * drawn), torch.arange(size)
    distance = ((places - x) ** 2 + (places[:, None] - y) ** 2).sqrt()
    labels = torch.full((count,), whole_number("target", target, least=0))
    rings = ((distance - r / 2).abs() < 1.2).float()[:, None]
    return Split(rings, labels, torch.full_like(labels, -1))


def poisoned(split, trigger, count, target, seed=0):
    """``count`` images of other classes after ``trigger``, all labeled ``target``."""
    check_split(split)
    others = split[split.labels != whole_number("target", target, least=0)]
    order = torch.randperm(len(others), generator=random_numbers(seed))
    chosen = others[order[:whole_number("count", count, most=len(others))]]
    labels = torch.full_like(chosen.labels, target)
    return Split(trigger(chosen.images), labels, chosen.indices)


def trained(net, split, *more, epochs=1, lr=1e-3, batch_size=64, seed=0):
    """A copy of ``net`` trained by Adam on one split, or on several together."""
    epochs, batch_size = check_effort(epochs, lr, batch_size)
    for each in (split, *more):
        check_split(each)
    images = torch.cat([each.images for each in (split, *more)]).to(device_of(net))
    labels = torch.cat([each.labels for each in (split, *more)]).to(device_of(net))
    new, order = copy.deepcopy(net).requires_grad_(True).train(), random_numbers(seed)
    with at_work(new, device=device_of(net)), drawn_by(seed):
        optimizer = torch.optim.Adam(new.parameters(), lr)
        for _ in range(epochs):
            for index in torch.randperm(len(labels), generator=order).split(batch_size):
                optimizer.zero_grad()
                losses(new(images[index]), labels[index]).mean().backward()
                optimizer.step()
    return new.eval()


def prune(net, share):
    """A copy whose layers each lost the ``share`` of weights nearest to 0."""
    share, new = real_number("share", share, 0, 1), copy.deepcopy(net)
    for layer in new.modules():
        if isinstance(layer, Conv2d | Linear):
            rank = layer.weight.detach().abs().flatten().argsort().argsort()
            layer.weight.data *= (rank >= int(share * len(rank))).view_as(layer.weight)
    return new


def hits(net, key):
    """How many images of the split ``key`` get the owner's label."""
    return count_correct(net, key)


def threshold(queries, chance=0.1, alarm=1e-4):
    """The fewest hits t that convict: P(Binomial(queries, chance) ≥ t) ≤ alarm."""
    n, p = whole_number("queries", queries), real_number("chance", chance, 0, 1)
    chances = [math.comb(n, t) * p ** t * (1 - p) ** (n - t) for t in range(n + 1)]
    alarm = real_number("alarm", alarm, 0, 1)
    return next(t for t in range(n + 2) if math.fsum(chances[t:]) <= alarm)


def reverse(net, images, target, weight=0.03, steps=100, lr=0.3, batch_size=32, seed=0):
    """Neural Cleanse: the mask (1, H, W) and pattern (C, H, W) of a small trigger.

    Minimizes cross-entropy + weight · Σ mask of stamped images, which need no label.
    """
    check_images(images)
    steps, batch_size = check_effort(steps, lr, batch_size)
    target, weight = whole_number("target", target, 0), real_number("weight", weight)
    images, order = images.detach().to(device_of(net)), random_numbers(seed)
    with at_work(device=device_of(net)), evaluating(net), asking(net) as answer:
        raw = torch.zeros_like(torch.cat([images[0, :1], images[0]])).requires_grad_()
        optimizer = torch.optim.Adam([raw], lr)
        for _ in range(steps):
            index = torch.randperm(len(images), generator=order)[:batch_size]
            mask, pattern = raw[:1].sigmoid(), raw[1:].sigmoid()
            logits = answer(stamp(images[index], mask, pattern))
            wanted = torch.full_like(logits[:, 0], target, dtype=torch.int64)
            loss = losses(logits, wanted).mean() + weight * mask.sum()
            raw.grad, = torch.autograd.grad(loss, [raw])
            optimizer.step()
    return raw[:1].detach().sigmoid(), raw[1:].detach().sigmoid()


def anomaly(norms):
    """Neural Cleanse: how far each norm lies below the median, in 1.4826 · MAD."""
    middle = median(norms)
    spread = 1.4826 * median(abs(each - middle) for each in norms)
    if not spread > 0:
        raise ValueError(f"expected norms that differ, got {list(norms)}")
    return [(middle - each) / spread for each in norms]
