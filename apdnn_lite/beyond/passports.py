"""Passports: a layer whose scale and shift come from a secret input (Fan et al., 2019).

The last convolution is normalized, and then scaled by γ and shifted by β. Both are what
the layer's own weights make of the passport, so that the file holds neither, and the
weights are trained with the passport in place. The thief has the network and raw
images; a thief with labels, those of the images, too. That γ and β can be forged
without the passport was shown by Chen et al. (2023).
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .._checks import (
    check_floats,
    check_images,
    check_input,
    check_labels,
    checked_seed,
)
from .._machine import check_module, device_of
from .._network import (
    ask,
    asking,
    check_effort,
    independent_seeds,
    random_numbers,
    recording,
)
from ..attacks import information
from ..prior import TinyCNN


class PassportCNN(nn.Module):
    """:class:`~apdnn_lite.prior.TinyCNN` with a passport layer as its last convolution.

    Input (N, in_channels, 28, 28) in pixels of [0, 1]; output logits (N, num_classes).
    """

    def __init__(self, in_channels=1, num_classes=10):
        super().__init__()
        tiny = TinyCNN(in_channels, num_classes)
        self.shape, self.normalize, self.pool = tiny.shape, tiny.normalize, tiny.pool
        self.conv1, self.conv2, self.fc = tiny.conv1, tiny.conv2, tiny.fc
        self.conv3 = nn.Conv2d(32, 64, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(64, affine=False)

    def scale(self, passport):
        """γ and β, (2, 64): the mean answers of the layer's filters to the passport."""
        check_floats("passport", passport, (2, 32, "H", "W"))
        return self.conv3(passport).mean(dim=(2, 3))

    def forward(self, x, scale=None):
        """scale: γ and β, (2, 64); without it γ = 1 and β = 0, as for a thief."""
        check_input(x, self.shape, "network")
        x = self.pool(F.relu(self.conv1(self.normalize(x))))
        x = self.norm(self.conv3(self.pool(F.relu(self.conv2(x)))))
        if scale is not None:
            gamma, beta = scale[:, :, None, None]
            x = gamma * x + beta
        return self.fc(self.pool(F.relu(x)).flatten(1))


def draw_passport(seed=None):
    """A passport, (2, 32, 7, 7): one input of the layer for γ, one for β.

    A normal level for each channel, and normal noise on it. None: the system's chance.
    """
    numbers = np.random.default_rng(checked_seed(seed))
    level = numbers.normal(size=(2, 32, 1, 1))
    return torch.from_numpy(level + numbers.normal(size=(2, 32, 7, 7))).float()


class WithPassport(nn.Module):
    """The network as an authorized user runs it: images in, logits out."""

    def __init__(self, net, passport):
        super().__init__()
        check_module(net, PassportCNN)
        check_floats("passport", passport, (2, 32, "H", "W"))
        self.net, self.passport = net, passport

    def forward(self, x):
        return self.net(x, self.net.scale(self.passport.to(x)))


class Forged(nn.Module):
    """The network with a γ and a β of the thief's own, (2, 64)."""

    def __init__(self, net, scale):
        super().__init__()
        self.net, self.own = net, nn.Parameter(scale)

    def forward(self, x):
        return self.net(x, self.own)


@recording()
def forge(net, images, labels=None, temperatures=(1, 4, 10, 30), tries=2, steps=120,
          lr=0.05, batch_size=100, seed=0):
    """Find γ and β instead of the passport: 128 numbers, by Adam.

    Each try starts from normal numbers, and climbs the thief's score of the logits
    divided by a temperature (:func:`~apdnn_lite.attacks.information`); with ``labels``
    it descends their cross-entropy instead.

    Returns (the :class:`Forged` networks, the thief's own score of each): without
    labels the information of their answers, with them minus the cross-entropy.
    """
    check_module(net, PassportCNN)
    check_images(images)
    steps, batch_size = check_effort(steps, lr, batch_size)
    images, nets, scores = images.to(device_of(net)), [], []
    if labels is not None:
        check_labels(labels, len(images))
        labels = labels.to(images.device)

    def loss(logits, labels):
        if labels is None:
            return -information(logits)
        return F.cross_entropy(logits, labels)

    for heat in temperatures:
        for each in independent_seeds(seed, "tries", tries):
            start = np.random.default_rng(each).normal(size=(2, 64))
            thief = Forged(net, torch.from_numpy(start).float().to(images)).eval()
            generator = random_numbers(each.generate_state(1)[0])
            optimizer = torch.optim.Adam([thief.own], lr)
            with asking(thief) as answer:
                for _ in range(steps):
                    order = torch.randperm(len(images), generator=generator)
                    some = order[:batch_size].to(images.device)
                    found = loss(answer(images[some]) / heat,
                                 None if labels is None else labels[some])
                    thief.own.grad, = torch.autograd.grad(found, [thief.own])
                    optimizer.step()
            nets.append(thief.requires_grad_(False))
            score = -loss(ask(thief, images), labels).item()
            scores.append(score if math.isfinite(score) else -math.inf)
    return nets, scores
