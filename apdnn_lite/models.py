"""The two networks of the source (Chen and Wu, 2018): a simple CNN and ResNet-20.

Pixels in [0, 1] go in, logits come out. Each network normalizes inside itself, so keys
and attacks live in pixels. Processed images may leave [0, 1]: networks accept that.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import check_input, network_sizes, real_number, whole_number


class Normalize(nn.Module):
    """Shift and scale pixels (N, C, H, W): by default [0, 1] becomes [−1, 1]."""

    def __init__(self, mean=0.5, std=0.5):
        super().__init__()
        self.register_buffer("mean", torch.tensor(real_number("mean", mean, -99, 99)))
        self.register_buffer("std", torch.tensor(real_number("std", std, above=True)))

    def forward(self, x):
        return (x - self.mean) / self.std


class SimpleCNN(nn.Module):
    """Two convolutions and two linear layers: 28 → 14 → 14 → 7 pixels.

    Input (N, in_channels, image_size, image_size) in pixels, at least 4 wide, because
    two poolings halve them; output logits (N, num_classes).
    """

    def __init__(self, in_channels=1, num_classes=10, image_size=28):
        super().__init__()
        in_channels, num_classes = network_sizes(in_channels, num_classes)
        image_size = whole_number("image_size", image_size, least=4)
        self.shape = (in_channels, image_size, image_size)
        self.normalize, self.pool = Normalize(), nn.MaxPool2d(2)
        self.conv1 = nn.Conv2d(in_channels, 32, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, padding=1)
        self.fc1 = nn.Linear(64 * (image_size // 4) ** 2, 1024)
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x):
        check_input(x, self.shape, "network")
        x = self.pool(F.relu(self.conv1(self.normalize(x))))
        x = self.pool(F.relu(self.conv2(x)))
        return self.fc2(self.dropout(F.relu(self.fc1(x.flatten(1)))))


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut without parameters (He et al., 2016, A).

    Where the block halves the image, the shortcut takes every second pixel, and fills
    the new channels with zeros.
    """

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.new_channels = stride, width - in_channels

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1 or self.new_channels:
            x = x[:, :, ::self.stride, ::self.stride]
            x = F.pad(x, (0, 0, 0, 0, 0, self.new_channels))
        return F.relu(out + x)


class ResNet20(nn.Module):
    """ResNet-20 of He et al. (2016): 28 → 28 → 14 → 7 pixels, 16, 16, 32, 64 channels.

    Input (N, in_channels, H, W), H and W at least 4; output logits (N, num_classes).
    """

    def __init__(self, in_channels=1, num_classes=10):
        super().__init__()
        in_channels, num_classes = network_sizes(in_channels, num_classes)
        self.shape = (in_channels, None, None)  # any height and width
        self.normalize = Normalize()
        self.conv = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.stage1 = nn.Sequential(Block(16, 16), Block(16, 16), Block(16, 16))
        self.stage2 = nn.Sequential(Block(16, 32, 2), Block(32, 32), Block(32, 32))
        self.stage3 = nn.Sequential(Block(32, 64, 2), Block(64, 64), Block(64, 64))
        self.fc = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as He et al. start it, for ReLU
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x):
        check_input(x, self.shape, "network")
        x = F.relu(self.bn(self.conv(self.normalize(x))))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(x.mean(dim=(2, 3)))


def count_parameters(module):
    """How many numbers training may change."""
    return sum(each.numel() for each in module.parameters() if each.requires_grad)
