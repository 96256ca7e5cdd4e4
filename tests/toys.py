"""Toys that the unit tests share: sets and networks so small that training takes milliseconds."""

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import apdnn_lite as ap

# float32, so that a test asks the same of every processor.
QUIET = {"device": "cpu", "precision": "float32", "progress": False}


def toy_split(count=64, channels=1, side=8, classes=10, seed=0):
    """Random pixels, and every class among the labels."""
    generator = np.random.default_rng(seed)
    images = torch.tensor(generator.random((count, channels, side, side)), dtype=torch.float32)
    labels = torch.tensor(generator.permutation(np.arange(count) % classes))
    return ap.Split(images, labels, torch.arange(count))


def toy_set(side=28, classes=ap.data.CLOTHES, name="fashion_mnist"):
    """A whole data set of 40 + 20 + 20 images."""
    parts = [
        toy_split(count, side=side, classes=len(classes), seed=seed)
        for seed, count in enumerate((40, 20, 20))
    ]
    return ap.Dataset(name, "mini", tuple(classes), *parts)


class Linear(nn.Module):
    """logits = W·pixels + b, with known W and b."""

    def __init__(self, weight, bias=None):
        super().__init__()
        self.weight = nn.Parameter(torch.as_tensor(weight, dtype=torch.float32))
        self.bias = nn.Parameter(
            torch.zeros(len(self.weight)) if bias is None else torch.as_tensor(bias).float()
        )

    def forward(self, x):
        return x.flatten(1) @ self.weight.T + self.bias


def toy_linear(pixels=64, classes=10, seed=0):
    generator = np.random.default_rng(seed)
    return Linear(generator.normal(size=(classes, pixels)), generator.normal(size=classes))


class TinyCNN(nn.Module):
    """One convolution and batch normalization: what small tests of training need, and no more."""

    def __init__(self, channels=1, classes=10):
        super().__init__()
        self.conv, self.bn, self.fc = (
            nn.Conv2d(channels, 4, 3),
            nn.BatchNorm2d(4),
            nn.Linear(4, classes),
        )

    def forward(self, x):
        return self.fc(self.bn(self.conv(x)).relu().mean(dim=(2, 3)))


# What an owner may put before a network that takes (1, 8, 8): nothing, or one of the transforms.
OWNERS = {
    "plain": lambda: None,
    "fixed": lambda: ap.Fixed((1, 8, 8), 0.1, 0.2, seed=5),
    "learned": lambda: ap.Learned((1, 8, 8), seed=0),
    "generator": lambda: ap.Generator(1, 3, seed=0),
}


def max_norm(transform, norm=1.0):
    """A ``transform_max_norm``: ``norm`` for a transform with something to train, or else None."""
    return norm if transform is not None and list(transform.parameters()) else None


class Blind(nn.Module):
    """Gives every image the same logits. Parameters and inputs have gradients, all of them zero."""

    def __init__(self, classes=10):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(classes))

    def forward(self, x):
        return 0 * self.weight + 0 * x.flatten(1).sum(dim=1, keepdim=True)


class Learnable(ap.Transform):
    """One perturbation for all images, found by training."""

    def __init__(self, shape=(1, 8, 8), value=0.1):
        super().__init__()
        self.delta = nn.Parameter(torch.full(shape, value))

    def perturbation(self, x):
        return self.delta


class Watched(nn.Module):
    """A network that notes the batches it is trained on."""

    def __init__(self, net):
        super().__init__()
        self.net, self.batches = net, []

    def forward(self, x):
        if self.training:
            self.batches.append(x.detach().clone())
        return self.net(x)


def state_of(module):
    """A copy of all parameters and buffers."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def same(one, other):
    """Whether two states hold the same tensors, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ---- NumPy, as an oracle

def softmax(logits):
    exponentials = np.exp(np.asarray(logits, np.float64))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def cross_entropy(logits, labels):
    """Mean over the batch of −log q of the true class."""
    q = softmax(logits)
    return np.mean([-np.log(q[row, label]) for row, label in enumerate(labels)])


def true_probability(logits, labels):
    """Mean over the batch of the q of the true class."""
    q = softmax(logits)
    return np.mean([q[row, label] for row, label in enumerate(labels)])


def squared_norm(perturbation):
    """Mean over the batch of each sample's sum of squares."""
    return np.mean(
        [
            sum(value**2 for value in sample.flatten())
            for sample in np.asarray(perturbation, np.float64)
        ]
    )


def press_ctrl_c(monkeypatch, at):
    """Press Ctrl-C in the ``at``-th batch that is augmented.

    Returns a list that grows by one with each batch.
    """
    crop, batches = ap.Augment.__call__, []

    def stop(self, *arguments):
        batches.append(1)
        if len(batches) == at:
            raise KeyboardInterrupt
        return crop(self, *arguments)

    monkeypatch.setattr(ap.Augment, "__call__", stop)
    return batches


class Devices(TorchDispatchMode):
    """Refuses an operation on two devices, as a GPU would, and counts the copies between devices.

    For code that runs on the device "meta", where tensors have shapes and no values: whoever reads
    a value fails there, and a GPU's host would have to wait.
    """

    def __init__(self):
        super().__init__()
        self.copies = self.waiting_copies = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if (
            function is torch.ops.aten._to_copy.default
            and kwargs.get("device", args[0].device) != args[0].device
        ):
            self.copies += 1
            self.waiting_copies += not kwargs.get("non_blocking", False)
        elif function is not torch.ops.aten.copy_.default:
            # a tensor without dimensions counts as a number
            devices = {
                leaf.device.type
                for leaf in tree_leaves((args, kwargs))
                if isinstance(leaf, torch.Tensor) and leaf.dim()
            }
            assert len(devices) < 2, f"{function} on {' and '.join(sorted(devices))}"
        return function(*args, **kwargs)
