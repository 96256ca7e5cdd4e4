"""Measure a network: accuracy, confusion, and authorized against unauthorized access.

Accuracies are shares in [0, 1]. Nothing here changes a network: it is put into evaluation mode for
the measurement and back afterwards.
"""

import math
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import torch

from ._machine import device_of, evaluating
from .transforms import Candidates


@torch.no_grad()
def predict(net, images, transform=None, batch_size=None):
    """Logits (N, num_classes) for raw images (N, C, H, W), processed by ``transform`` if there is one.

    batch_size: by default 100 on the CPU, where small batches stay in its cache, and 2,000 elsewhere.
    """
    device = device_of(net)
    transform = transform.to(device) if transform is not None else torch.nn.Identity()
    logits = []
    with evaluating(net), evaluating(transform):
        for batch in images.split(batch_size or (100 if device.type == "cpu" else 2000)):
            batch = transform(batch.to(device))
            logits.append(net(batch.contiguous(memory_format=torch.channels_last)))
    return torch.cat(logits)


def count_correct(net, split, transform=None):
    """How many images of ``split`` the network gets right, an integer."""
    logits = predict(net, split.images, transform)
    return int((logits.argmax(dim=1) == split.labels.to(logits.device)).sum())


def accuracy(net, split, transform=None):
    """The share of images of ``split`` that the network gets right."""
    return count_correct(net, split, transform) / len(split)


def confusion(net, split, transform=None):
    """Counts (num_classes, num_classes), int64: row the true class, column the network's answer."""
    logits = predict(net, split.images, transform).cpu()
    num_classes = logits.shape[1]
    pairs = split.labels.cpu() * num_classes + logits.argmax(dim=1)
    return torch.bincount(pairs, minlength=num_classes ** 2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class PerturbationSize:
    """How much a transform changes images, pixels in [0, 1].

    squared_norm: the mean over the images of ‖x_p − x_r‖₂², the third term of the loss.
    largest: the largest change of any pixel of any image, L∞.
    rms: the root mean square change of a pixel.
    psnr: peak signal-to-noise ratio in decibels, −20 log₁₀ rms; infinite for no change.
    """

    squared_norm: float
    largest: float
    rms: float

    @property
    def psnr(self):
        return -20 * math.log10(self.rms) if self.rms else math.inf

    def __str__(self):
        return (f"‖x_p − x_r‖₂² {self.squared_norm:.3g}, largest {self.largest:.3g}, "
                f"root mean square {self.rms:.3g}, PSNR {self.psnr:.1f} dB")


@torch.no_grad()
def perturbation_size(transform, images, batch_size=1000):
    """The :class:`PerturbationSize` of a transform on raw images (N, C, H, W), after clipping if it clips."""
    device = device_of(transform)
    total, largest = 0.0, 0.0
    with evaluating(transform):
        for raw in images.to(device).split(batch_size):
            change = transform(raw) - raw
            total += change.double().square().sum().item()
            largest = max(largest, change.abs().max().item())
    return PerturbationSize(total / len(images), largest, math.sqrt(total / images.numel()))


def binomial_interval(correct, images, z=1.96):
    """The interval (low, high) that holds the true accuracy in 95 of 100 cases, for one test set.

    Wilson (1927): unlike the usual ± it stays inside [0, 1] near the ends, where raw accuracies are.
    """
    share, shrink = correct / images, 1 + z ** 2 / images
    middle = (share + z ** 2 / (2 * images)) / shrink
    half = z * math.sqrt(share * (1 - share) / images + z ** 2 / (4 * images ** 2)) / shrink
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_interval(values, resamples=2000):
    """The 95 % interval (low, high) of the mean that independent draws with these values stand for.

    Percentile bootstrap (Efron, 1979): the accuracies of random keys are skewed, and a normal ± would
    not know. The same values give the same interval.
    """
    drawn = np.random.default_rng(0).choice(np.asarray(values, float), (resamples, len(values)))
    low, high = np.percentile(drawn.mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


@dataclass(frozen=True)
class Access:
    """How well a network serves its owner and everybody else; both are shares of ``images``."""

    authorized: float
    unauthorized: float
    images: int

    def __str__(self):
        return (f"authorized {self.authorized:.1%}, unauthorized {self.unauthorized:.1%} "
                f"({self.images:,} images)")


@dataclass(frozen=True)
class AttackResult:
    """The accuracies that an attack's candidates reach, each a share of ``images``.

    best: the highest. The paper reports it, but only somebody with labels can know which it is.
    picked: that of the candidate a thief without labels chooses.
    """

    accuracies: tuple = field(repr=False)
    picked: float
    images: int

    @property
    def mean(self):
        return fmean(self.accuracies)

    @property
    def best(self):
        return max(self.accuracies)

    @property
    def worst(self):
        return min(self.accuracies)

    @property
    def interval(self):
        """The 95 % interval (low, high) of the mean over all keys that could have been drawn.

        Of use for candidates that were drawn at random, such as those of the input-only attack.
        """
        return bootstrap_interval(self.accuracies)

    def __str__(self):
        return (f"{len(self.accuracies)} candidates: mean {self.mean:.1%}, best {self.best:.1%}, "
                f"worst {self.worst:.1%}, the thief's own pick {self.picked:.1%} ({self.images:,} images)")


def access(net, split, transform):
    """Authorized and unauthorized accuracy on ``split``, or what an attack's candidates reach.

    transform: the owner's transform; the result is an :class:`Access`. Or the
        :class:`~apdnn_lite.transforms.Candidates` of an attack; the result is an :class:`AttackResult`.
        Only this function needs labels: no attack sees them.
    """
    if isinstance(transform, Candidates):
        accuracies = tuple(accuracy(net, split, candidate) for candidate in transform.transforms)
        return AttackResult(accuracies, accuracies[transform.picked], len(split))
    return Access(accuracy(net, split, transform), accuracy(net, split), len(split))
