"""Random crops and flips of raw images; the owner's transform comes after them."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ._machine import send
from ._settings import must


@dataclass(frozen=True)
class Augment:
    """Random crops and flips of a batch of raw images (N, C, H, W), pixels in [0, 1].

    crop: each image moves by up to this many pixels each way; what comes in is black.
    flip: whether half of the images are mirrored (wrong for digits).

    A key that were applied first would move with the image, and be a key no longer.
    """

    crop: int = 2
    flip: bool = True

    def __post_init__(self):
        object.__setattr__(self, "crop", must.be_natural("crop", self.crop))
        must.be_bool("flip", self.flip)

    def __call__(self, images, generator):
        """The images, each moved and mirrored by draws of a generator of the CPU."""
        count, channels, height, width = images.shape
        device = images.device
        rows = draw(2 * self.crop + 1, count, generator, device)
        columns = draw(2 * self.crop + 1, count, generator, device)
        mirrored = draw(2, count, generator, device).bool()
        padded = F.pad(images, (self.crop,) * 4)
        row = rows[:, None] + torch.arange(height, device=device)
        column = columns[:, None] + torch.arange(width, device=device)
        if self.flip:
            column = torch.where(mirrored[:, None], column.flip(1), column)
        image = torch.arange(count, device=device)[:, None, None, None]
        channel = torch.arange(channels, device=device)[None, :, None, None]
        return padded[image, channel, row[:, None, :, None], column[:, None, None, :]]


def draw(high, count, generator, device):
    """Whole numbers below ``high``, drawn on the CPU: every device draws the same."""
    drawn = torch.randint(high, (count,), generator=generator, device="cpu")
    return send(drawn, device)
