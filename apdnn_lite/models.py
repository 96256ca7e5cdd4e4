"""The two networks of the source (Chen and Wu, 2018): a simple CNN and ResNet-20.

Pixels in [0, 1] go in, logits come out. Each network normalizes inside itself, so images, keys and
attacks live in pixels everywhere else. Inputs outside [0, 1] are accepted: a processed image may
leave the range.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Normalize(nn.Module):
    """Shift and scale pixels, (N, C, H, W) to the same shape: by default [0, 1] becomes [−1, 1]."""

    def __init__(self, mean=0.5, std=0.5):
        super().__init__()
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("std", torch.tensor(float(std)))

    def forward(self, x):
        return (x - self.mean) / self.std


class SimpleCNN(nn.Module):
    """Two convolutions and two linear layers, as in the source: 28 → 14 → 14 → 7 pixels.

    in_channels, num_classes, image_size: of the data set; images are square, at least
    4 pixels wide. Input (N, in_channels, image_size, image_size) in pixels, output logits
    (N, num_classes).
    """

    def __init__(self, in_channels=1, num_classes=10, image_size=28):
        super().__init__()
        if image_size < 4:
            raise ValueError(
                f"image_size must be at least 4 (two poolings halve it), got {image_size}"
            )
        self.normalize = Normalize()
        self.conv1 = nn.Conv2d(in_channels, 32, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(64 * (image_size // 4) ** 2, 1024)
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x):
        x = self.normalize(x)
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(self.dropout(x))


class Block(nn.Module):
    """Two 3×3 convolutions beside a parameter-free shortcut (He et al., 2016, option A).

    Where the block halves the image and widens the features, the shortcut takes every
    second pixel and fills the new channels with zeros.
    """

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride, self.new_channels = stride, out_channels - in_channels

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.stride > 1 or self.new_channels:
            x = x[:, :, ::self.stride, ::self.stride]
            x = F.pad(x, (0, 0, 0, 0, 0, self.new_channels))
        return F.relu(out + x)


class ResNet20(nn.Module):
    """ResNet-20 of He et al. (2016): 28 → 28 → 14 → 7 pixels with 16, 16, 32, 64 channels.

    Input (N, in_channels, H, W) in pixels, any H and W from 4 up; output logits (N, num_classes).
    About 0.27 million parameters.
    """

    def __init__(self, in_channels=1, num_classes=10):
        super().__init__()
        self.normalize = Normalize()
        self.conv = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.stage1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1), Block(16, 16, 1))
        self.stage2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.stage3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.fc = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = F.relu(self.bn(self.conv(self.normalize(x))))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(x.mean(dim=(2, 3)))


def count_parameters(module):
    """How many numbers training may change."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
