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
        shape = checked_shape(shape)
        check_sigma(sigma)
        if not 0 < p <= 0.5:
            raise ValueError(f"p must satisfy 0 < p ≤ 0.5 (+σ and −σ each have probability p), got {p}")
        self.sigma, self.p, self.seed = float(sigma), float(p), seed
        self.register_buffer("key", draw_key(shape, sigma, p, seed))

    def perturbation(self, x):
        check_images(x, self.key)
        return self.key

    def settings(self):
        return {**super().settings(), "shape": list(self.key.shape), "sigma": self.sigma, "p": self.p,
                "seed": plain(self.seed)}


def checked_shape(shape):
    """(C, H, W) as a tuple of int; raises ValueError if it is none."""
    shape = tuple(shape)
    if len(shape) != 3 or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(f"shape must be (channels, height, width), three positive integers, got {shape}")
    return shape


def check_sigma(sigma):
    if not 0 < sigma < float("inf"):
        raise ValueError(f"sigma must be positive and finite, in pixels of [0, 1], got {sigma}")


def check_images(x, key):
    """Raises ValueError unless the images x have the shape that the universal ``key`` was made for."""
    if x.shape[1:] != key.shape:
        raise ValueError(f"this key is for images of shape (N, {', '.join(map(str, key.shape))}), got {tuple(x.shape)}")


def plain(seed):
    """A seed as a record can hold it."""
    if seed is None:
        return None
    return int(seed) if isinstance(seed, (int, np.integer)) else str(seed)


def draw_key(shape, sigma, p, seed):
    """A tensor of ``shape`` with values −σ, 0, σ of probability p, 1 − 2p, p."""
    u = torch.from_numpy(np.random.default_rng(seed).random(shape))
    return sigma * ((u >= 1 - p).float() - (u < p).float())


class Learned(Transform):
    """One universal perturbation found by training: the key is a parameter (Chen and Wu, 2018).

    It is the same for every image, as Fixed's is, but any number may stand in each pixel; the loss
    finds them together with the network's weights.

    shape: (C, H, W) of the images.
    sigma: the perturbation starts as normal noise of this standard deviation, in pixels of [0, 1]
        (our choice), so that raw and processed images differ from the first step.
    seed: an integer, or None for the operating system's randomness.
    clip: whether processed images are clipped to [0, 1].

    Raises ValueError if σ or the shape is out of range.
    """

    def __init__(self, shape, sigma=0.01, seed=None, clip=False):
        super().__init__(clip)
        shape = checked_shape(shape)
        check_sigma(sigma)
        self.sigma, self.seed = float(sigma), seed
        noise = np.random.default_rng(seed).normal(scale=sigma, size=shape)
        self.delta = nn.Parameter(torch.from_numpy(noise).float())

    def perturbation(self, x):
        check_images(x, self.delta)
        return self.delta

    def settings(self):
        return {**super().settings(), "shape": list(self.delta.shape), "sigma": self.sigma, "seed": plain(self.seed)}


class Generator(Transform):
    """A perturbation for each image, from a small network: x_p = x_r + G(x_r) (Chen and Wu, 2018).

    G is a 5×5 convolution and a 1×1 bottleneck convolution back to the channels of the image, or,
    with ``form="dense"``, two fully connected layers, which the source names too.

    channels: of the images.
    width: of the layer between, and ``activation`` after it ("tanh" or "relu"): our choice, the
        source prints neither.
    form: "convolutional", or "dense", which needs ``image_size``, the side of the square images.
    start: factor on the first weights of the last layer; below 1 the perturbation starts fainter (our choice).
    seed: of the first weights; an integer, a NumPy SeedSequence, or None for the operating system's
        randomness.
    clip: whether processed images are clipped to [0, 1].

    Inside, images count from their middle (x − 0.5), so that dark pixels say something too.
    Raises ValueError for sizes and starts that are not positive and for names that are not known.
    """

    ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}

    def __init__(self, channels, width=16, activation="tanh", form="convolutional", image_size=None, seed=None,
                 clip=False, start=1.0):
        super().__init__(clip)
        if not all(isinstance(size, int) and size > 0 for size in (channels, width)):
            raise ValueError(f"channels and width must be positive integers, got {channels} and {width}")
        if not start > 0:
            raise ValueError(f"start must be a positive number, got {start}")
        if activation not in self.ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}: expected one of {', '.join(self.ACTIVATIONS)}")
        self.channels, self.width, self.activation, self.form = channels, width, activation, form
        self.image_size, self.seed, self.start = image_size, seed, float(start)
        between = self.ACTIVATIONS[activation]()
        with torch.random.fork_rng(devices=[]):
            sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
            torch.manual_seed(int(sequence.generate_state(1)[0]))
            if form == "convolutional":
                self.layers = nn.Sequential(nn.Conv2d(channels, width, 5, padding=2), between,
                                            nn.Conv2d(width, channels, 1))
            elif form == "dense":
                if not (isinstance(image_size, int) and image_size > 0):
                    raise ValueError(f"a dense generator needs image_size, the side of the images, got {image_size}")
                shape = (channels, image_size, image_size)
                pixels = channels * image_size ** 2
                self.layers = nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), between,
                                            nn.Linear(width, pixels), nn.Unflatten(1, shape))
            else:
                raise ValueError(f"unknown form {form!r}: expected convolutional or dense")
        last = next(layer for layer in reversed(self.layers) if hasattr(layer, "weight"))
        with torch.no_grad():
            last.weight.mul_(self.start), last.bias.mul_(self.start)

    def perturbation(self, x):
        side = self.image_size
        if x.dim() != 4 or x.shape[1] != self.channels or (self.form == "dense" and x.shape[2:] != (side, side)):
            raise ValueError(f"this generator is for images of shape (N, {self.channels}, "
                             f"{side or 'H'}, {side or 'W'}), got {tuple(x.shape)}")
        return self.layers(x - 0.5)

    def settings(self):
        return {**super().settings(), "channels": self.channels, "width": self.width, "activation": self.activation,
                "form": self.form, "image_size": self.image_size, "seed": plain(self.seed), "start": self.start}


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
