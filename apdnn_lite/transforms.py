"""The owner's transforms: each turns a raw image x_r into a processed image x_p = x_r + δ.

A transform is a module. Its perturbation δ is what the owner keeps secret; pixels are in [0, 1].
Source: Chen and Wu (2018), the section on the transform module. Clipping is our choice: the source
does not say whether x_p is brought back into [0, 1].
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


class Transform(nn.Module):
    """What all transforms share: x_p = x_r + perturbation(x_r), clipped to [0, 1] if ``clip``.

    A subclass says what ``perturbation(x)`` is and, in ``settings()``, how it was made. Calling the
    transform maps raw images (N, C, H, W) to processed images of the same shape. Without clipping
    pixels may leave [0, 1] by as much as the perturbation; networks accept that.
    """

    def __init__(self, clip=False):
        super().__init__()
        self.clip = bool(clip)

    def perturbation(self, x):
        """The δ to add to raw images x of shape (N, C, H, W), before clipping; broadcasts to x."""
        raise NotImplementedError

    def forward(self, x):
        processed = x + self.perturbation(x)
        return processed.clamp(0, 1) if self.clip else processed

    def settings(self):
        """What is needed to make the transform again, but for the tensors in its state: for records."""
        return {"kind": type(self).__name__, "clip": self.clip}

    def extra_repr(self):
        return ", ".join(f"{name}={value!r}" for name, value in self.settings().items() if name != "kind")


class Fixed(Transform):
    """One universal bipolar perturbation, the owner's key, drawn once and never again.

    Each pixel of the key is −σ, 0 or σ with probability p, 1 − 2p, p (Chen and Wu, 2018).

    shape: (C, H, W) of the images.
    sigma: σ > 0, in pixels of [0, 1].
    p: 0 < p ≤ 0.5.
    seed: an integer, or a NumPy SeedSequence; the same seed gives the same key. None draws from the
        operating system's randomness, as an owner would: a small number is easily guessed.
    clip: whether processed images are clipped to [0, 1].

    The key is a buffer: it is saved with the module and moves with it between devices.
    Raises ValueError if σ, p or the shape is out of range.
    """

    def __init__(self, shape, sigma, p, seed=None, clip=False):
        super().__init__(clip)
        shape = tuple(shape)
        if len(shape) != 3 or not all(isinstance(size, int) and size > 0 for size in shape):
            raise ValueError(f"shape must be (channels, height, width), three positive integers, got {shape}")
        if not 0 < sigma < float("inf"):
            raise ValueError(f"sigma must be positive and finite, in pixels of [0, 1], got {sigma}")
        if not 0 < p <= 0.5:
            raise ValueError(f"p must satisfy 0 < p ≤ 0.5 (+σ and −σ each have probability p), got {p}")
        self.sigma, self.p, self.seed = float(sigma), float(p), seed
        self.register_buffer("key", draw_key(shape, sigma, p, seed))

    def perturbation(self, x):
        if x.shape[1:] != self.key.shape:
            raise ValueError(f"this key is for images of shape (N, {', '.join(map(str, self.key.shape))}), "
                             f"got {tuple(x.shape)}")
        return self.key

    def settings(self):
        seed = self.seed if isinstance(self.seed, (int, type(None))) else str(self.seed)
        return {**super().settings(), "shape": list(self.key.shape), "sigma": self.sigma, "p": self.p, "seed": seed}


def draw_key(shape, sigma, p, seed):
    """A tensor of ``shape`` with values −σ, 0, σ of probability p, 1 − 2p, p."""
    u = torch.from_numpy(np.random.default_rng(seed).random(shape))
    return sigma * ((u >= 1 - p).float() - (u < p).float())


class Shift(Transform):
    """The same brightness added to every pixel: ``value`` in pixels of [0, 1], negative for darker."""

    def __init__(self, value, clip=False):
        super().__init__(clip)
        self.value = float(value)

    def perturbation(self, x):
        return torch.full_like(x[:1], self.value)

    def settings(self):
        return {**super().settings(), "value": self.value}


class Identity(Transform):
    """No perturbation at all: what a thief applies who feeds raw images."""

    def perturbation(self, x):
        return torch.zeros_like(x[:1])


@dataclass(frozen=True)
class Candidates:
    """What an attack returns: the transforms to try, and the attacker's own opinion of each.

    transforms: the candidate transforms, raw images in, guesses at processed images out.
    scores: one number for each, computed without any label; the thief picks the highest.
    """

    transforms: list
    scores: list

    def __len__(self):
        return len(self.transforms)

    @property
    def picked(self):
        """The place of the candidate that a thief without labels would use."""
        return max(range(len(self)), key=self.scores.__getitem__)
