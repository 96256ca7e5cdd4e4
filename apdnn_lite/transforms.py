"""The owner's transforms: each makes a processed image of a raw one, x_p = x_r + δ.

A transform is a module. Its perturbation δ is the owner's secret. Pixels are in [0, 1].
Source: Chen and Wu (2018), who do not say whether they clip x_p to [0, 1]: our choice.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from . import _checks as checks
from ._state import KnowsItsState, drawn_by, not_bipolar


class Transform(KnowsItsState):
    """What all transforms share: x_p = x_r + perturbation(x_r).

    clip: whether processed images are clipped to [0, 1]; networks take both kinds.

    A subclass says what ``perturbation(x)`` is and, in ``settings()``, how it was made.
    Calling it maps raw images (N, C, H, W) to processed ones. ``load_state_dict``
    refuses the state of a transform with other settings.
    """

    shape = (None, None, None)  # (C, H, W) of its images, None for any size

    def __init__(self, clip=False):
        super().__init__()
        self.clip = checks.yes_or_no("clip", clip)

    def perturbation(self, x):
        """The δ for raw images x (N, C, H, W), before clipping; broadcasts to x."""
        raise NotImplementedError

    def forward(self, x):
        checks.check_input(x, self.shape, "transform")
        processed = x + self.perturbation(x)
        return processed.clamp(0, 1) if self.clip else processed

    def settings(self):
        """Its kind, and the arguments that make it again, as JSON for records."""
        return {"kind": type(self).__name__, "clip": self.clip}


class Fixed(Transform):
    """One universal bipolar perturbation, the owner's key, drawn once and never again.

    Each pixel of it is −σ, 0 or σ with probability p, 1 − 2p, p (Chen and Wu, 2018).

    shape: (C, H, W) of the images. sigma: σ > 0, in pixels of [0, 1]. p: 0 < p ≤ 0.5.
    seed: a whole number or a NumPy SeedSequence; the same seed gives the same key.
        None draws from the operating system, as an owner would: 7 is easily guessed.

    The key is a buffer: it is saved with the module and moves with it between devices.
    Like all transforms it is made on the CPU in float32, so a seed means the same
    everywhere. Raises ValueError if an argument is out of range.
    """

    def __init__(self, shape, sigma, p, seed=None, clip=False):
        super().__init__(clip)
        self.sigma = checks.strength("sigma", sigma)
        self.p = checks.real_number("p", p, high=0.5, above=True)
        self.seed = checks.checked_seed(seed)
        self.shape = checks.checked_shape(shape)
        u = torch.from_numpy(np.random.default_rng(self.seed).random(self.shape))
        signs = (u >= 1 - self.p).float() - (u < self.p).float()
        self.register_buffer("key", self.sigma * signs)

    def perturbation(self, x):
        return self.key

    def settings(self):
        return {**super().settings(), "shape": list(self.shape), "sigma": self.sigma,
                "p": self.p, "seed": checks.plain_seed(self.seed)}

    def _misfit(self, tensors):
        return not_bipolar(tensors.get("key", self.key), self.sigma)


class Learned(Transform):
    """One universal perturbation found by training (Chen and Wu, 2018).

    Each pixel may hold any number; training finds them together with the weights.

    sigma: the perturbation starts as normal noise of this standard deviation (our
        choice), so that raw and processed images differ from the first step.
    The rest is as in :class:`Fixed`.
    """

    STARTS = ("seed", "sigma")

    def __init__(self, shape, sigma=0.01, seed=None, clip=False):
        super().__init__(clip)
        self.sigma = checks.strength("sigma", sigma)
        self.seed = checks.checked_seed(seed)
        self.shape = checks.checked_shape(shape)
        noise = np.random.default_rng(self.seed).normal(0, self.sigma, self.shape)
        self.delta = nn.Parameter(torch.from_numpy(noise).float())

    def perturbation(self, x):
        return self.delta

    def settings(self):
        return {**super().settings(), "shape": list(self.shape), "sigma": self.sigma,
                "seed": checks.plain_seed(self.seed)}


class Generator(Transform):
    """A perturbation for each image, x_p = x_r + G(x_r) (Chen and Wu, 2018).

    G is a 5×5 convolution and a 1×1 bottleneck convolution back to the image's channels
    or, with ``form="dense"``, two fully connected layers, as the source names them too.
    Inside, pixels count from the middle, so that dark ones matter as well.

    channels, image_size: of the square images; only a dense one needs the size.
    width, activation: of the layer between, "tanh" or "relu" (our choices).
    start: factor on the first weights of the last layer (our choice).
    seed: of the first weights. The rest is as in :class:`Fixed`.
    """

    ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
    STARTS = ("seed", "start")

    def __init__(self, channels, width=16, activation="tanh", form="convolutional",
                 image_size=None, seed=None, clip=False, start=1.0):
        super().__init__(clip)
        self.channels = channels = checks.whole_number("channels", channels)
        self.width = width = checks.whole_number("width", width)
        self.activation = checks.one_of("activation", activation, self.ACTIVATIONS)
        self.form = checks.one_of("form", form, ("convolutional", "dense"))
        if (form, image_size) != ("convolutional", None):
            image_size = checks.whole_number("image_size", image_size)
        self.image_size, self.seed = image_size, checks.checked_seed(seed)
        self.start = checks.strength("start", start)
        self.shape = (channels, image_size, image_size)
        between = self.ACTIVATIONS[activation]()
        with drawn_by(self.seed):
            if form == "convolutional":
                first = nn.Conv2d(channels, width, 5, padding=2)
                last = nn.Conv2d(width, channels, 1)
                self.layers = nn.Sequential(first, between, last)
            else:
                flatten, back = nn.Flatten(), nn.Unflatten(1, self.shape)
                pixels = math.prod(self.shape)
                first, last = nn.Linear(pixels, width), nn.Linear(width, pixels)
                self.layers = nn.Sequential(flatten, first, between, last, back)
        last.weight.data.mul_(self.start)
        last.bias.data.mul_(self.start)

    def perturbation(self, x):
        return self.layers(x - 0.5)

    def settings(self):
        names = ("channels", "width", "activation", "form", "image_size")
        return {**super().settings(), **{name: getattr(self, name) for name in names},
                "seed": checks.plain_seed(self.seed), "start": self.start}


class Shift(Transform):
    """The same brightness, ``value``, added to every pixel; negative for darker."""

    def __init__(self, value, clip=False):
        super().__init__(clip)
        self.value = checks.real_number("value", value, -100, 100)

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
    """What an attack returns: the transforms to try, and the thief's opinion of each.

    transforms: the candidates, raw images in, guesses at processed images out.
    scores: one number for each, from no label; the thief picks the highest.
    """

    transforms: list
    scores: list

    def __post_init__(self):
        checks.check_candidates(self.transforms, self.scores)

    def __len__(self):
        return len(self.transforms)

    @property
    def picked(self):
        """The place of the highest finite score; raises ValueError if there is none."""
        finite = [i for i, score in enumerate(self.scores) if math.isfinite(score)]
        if not finite:
            raise ValueError(f"none of the {len(self)} candidates has a finite score")
        return max(finite, key=self.scores.__getitem__)
