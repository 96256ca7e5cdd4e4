"""Measure a network: accuracy, confusion, and authorized against unauthorized access.

Accuracies are shares in [0, 1]. Networks and transforms stay as they are, and where
they are: they are only put into evaluation mode for the measurement, and back
afterwards.
"""

import math
from dataclasses import dataclass, field
from statistics import fmean

import torch

from ._checks import check_images, whole_number
from ._machine import device_of, evaluating
from ._network import answered, ask, check_answered, check_classes, check_split, suited
from ._statistics import binomial_interval, bootstrap_interval  # noqa: F401
from .transforms import Candidates


def predict(net, images, transform=None, batch_size=None):
    """Logits (N, num_classes) for images (N, C, H, W), after ``transform`` if any.

    images: with a transform raw images, with pixels in [0, 1]. Without one they may be
        processed images, too, with pixels less than 1 away from that range.
    batch_size: by default 100 on the CPU, where small batches stay in its cache,
        otherwise 2,000.

    Raises ValueError for other images, for a network that does not return logits, and
    if the largest logit of an image is NaN or infinite.
    """
    return check_answered(ask(net, images, transform, batch_size))


def count_right(logits, labels):
    """How many images get their class; an image without an answer does not."""
    right = logits.argmax(dim=1) == labels.to(logits.device)
    return int((right & answered(logits)).sum())


def count_correct(net, split, transform=None):
    """How many images of ``split`` the network gets right, an integer."""
    check_split(split)
    return count_right(predict(net, split.images, transform), split.labels)


def accuracy(net, split, transform=None):
    """The share of images of ``split`` that the network gets right."""
    return count_correct(net, split, transform) / len(split.images)


def confusion(net, split, transform=None):
    """Counts (num_classes, num_classes): row the true class, column the answer."""
    check_split(split)
    logits, labels = predict(net, split.images, transform).cpu(), split.labels.cpu()
    num_classes = logits.shape[1]
    check_classes(labels, num_classes)
    pairs = labels * num_classes + logits.argmax(dim=1)
    return torch.bincount(pairs, minlength=num_classes ** 2).reshape(num_classes, -1)


@dataclass(frozen=True)
class PerturbationSize:
    """How much a transform changes images, pixels in [0, 1].

    squared_norm: the mean over the images of ‖x_p − x_r‖₂², the third term of the loss.
    largest: the largest change of any pixel of any image, L∞.
    rms: the root mean square change of a pixel.
    """

    squared_norm: float
    largest: float
    rms: float

    @property
    def psnr(self):
        """The peak signal-to-noise ratio in decibels, −20 log₁₀ rms."""
        return -20 * math.log10(self.rms) if self.rms else math.inf

    def __str__(self):
        return (f"‖x_p − x_r‖₂² {self.squared_norm:.3g}, largest {self.largest:.3g}, "
                f"root mean square {self.rms:.3g}, PSNR {self.psnr:.1f} dB")


@torch.no_grad()
def perturbation_size(transform, images, batch_size=1000):
    """The :class:`PerturbationSize` of a transform on raw images (N, C, H, W)."""
    check_images(images)
    total, largest = 0.0, 0.0
    images = suited(images, transform).to(device_of(transform))
    with evaluating(transform):
        for raw in images.split(whole_number("batch_size", batch_size)):
            change = transform(raw.clone()) - raw
            total += change.double().square().sum().item()
            largest = max(largest, change.abs().max().item())
    if not math.isfinite(total):
        raise ValueError("the transform changes some pixels by NaN or by infinity")
    rms = math.sqrt(total / images.numel())
    return PerturbationSize(total / len(images), largest, rms)


@dataclass(frozen=True)
class Access:
    """How well a network serves its owner and everybody else: shares of ``images``."""

    authorized: float
    unauthorized: float
    images: int

    def __str__(self):
        both = f"authorized {self.authorized:.1%}, unauthorized {self.unauthorized:.1%}"
        return f"{both} ({self.images:,} images)"


@dataclass(frozen=True)
class AttackResult:
    """The accuracies that an attack's candidates reach, each a share of ``images``.

    picked: that of the candidate which a thief without labels chooses.
    """

    accuracies: tuple = field(repr=False)
    picked: float
    images: int

    @property
    def mean(self):
        """Over all candidates."""
        return fmean(self.accuracies)

    @property
    def best(self):
        """The highest, which only somebody with labels can know."""
        return max(self.accuracies)

    @property
    def worst(self):
        """The lowest."""
        return min(self.accuracies)

    @property
    def interval(self):
        """The 95% interval (low, high) of the mean, for candidates drawn at random."""
        return bootstrap_interval(self.accuracies)

    def __str__(self):
        return (f"{len(self.accuracies)} candidates: mean {self.mean:.1%}, best "
                f"{self.best:.1%}, worst {self.worst:.1%}, the thief's own pick "
                f"{self.picked:.1%} ({self.images:,} images)")


def access(net, split, transform):
    """Authorized and unauthorized accuracy, or what an attack's candidates reach.

    transform: the owner's transform, for an :class:`Access`; or an attack's Candidates,
        for an :class:`AttackResult`. A candidate that the network answers with NaN gets
        nothing right. Only this function needs labels: no attack sees them.
    """
    if not isinstance(transform, Candidates):
        authorized = accuracy(net, split, transform)
        return Access(authorized, accuracy(net, split), len(split.images))
    check_split(split)
    accuracies = tuple(count_right(ask(net, split.images, each), split.labels)
                       / len(split.images) for each in transform.transforms)
    return AttackResult(accuracies, accuracies[transform.picked], len(split.images))
