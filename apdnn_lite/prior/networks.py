"""A network of 29,066 weights, so that a marked one is trained while a class waits."""

from torch import nn
from torch.nn import functional as F

from .._checks import check_input, network_sizes
from ..models import Normalize


class TinyCNN(nn.Module):
    """Three convolutions and one linear layer: 28 → 14 → 7 → 3 pixels, 16, 32, 64
    channels.

    Input (N, in_channels, 28, 28) in pixels of [0, 1]; output logits (N, num_classes).
    """

    def __init__(self, in_channels=1, num_classes=10):
        super().__init__()
        in_channels, num_classes = network_sizes(in_channels, num_classes)
        self.shape = (in_channels, 28, 28)
        self.normalize, self.pool = Normalize(), nn.MaxPool2d(2)
        self.conv1 = nn.Conv2d(in_channels, 16, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(32, 64, kernel_size=3, padding=1)
        self.fc = nn.Linear(64 * 3 * 3, num_classes)

    def features(self, x):
        """What the linear layer reads, (N, 576), all of it at least 0."""
        check_input(x, self.shape, "network")
        x = self.pool(F.relu(self.conv1(self.normalize(x))))
        x = self.pool(F.relu(self.conv2(x)))
        return self.pool(F.relu(self.conv3(x))).flatten(1)

    def forward(self, x):
        return self.fc(self.features(x))
