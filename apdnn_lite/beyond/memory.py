"""What batch normalization remembers: the means and variances of the owner's images.

Every such layer stores, for each of its channels, the mean and the variance of what it
saw in training. A lock that changes weights leaves these numbers alone, so they tell a
thief what the unlocked network would compute, and need no label. Yin et al. (2020)
recover whole training images from them.
"""

import contextlib

import torch
from torch import nn

from .._checks import check_images
from .._machine import device_of, evaluating


class Reached(Exception):
    """Ends a forward pass where the thief has seen enough."""


@contextlib.contextmanager
def watching(net, last=None):
    """A list that fills, in a forward pass, with (batch norm, its input, the producer).

    The producer is the name of the convolution that made this very input, or None.
    last: a batch norm at which the pass ends by :class:`Reached`.
    """
    seen, makers, hooks = [], {}, []

    def made(name):
        return lambda part, inputs, output: makers.update({id(output): name})

    def arrived(part, inputs):
        if last is None or part is last:
            seen.append((part, inputs[0], makers.get(id(inputs[0]))))
        if part is last:
            raise Reached

    for name, part in net.named_modules():
        if isinstance(part, nn.Conv2d):
            hooks.append(part.register_forward_hook(made(name)))
        elif isinstance(part, nn.BatchNorm2d):
            hooks.append(part.register_forward_pre_hook(arrived))
    try:
        with contextlib.suppress(Reached):
            yield seen
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def replaying(net, images, parts):
    """Inside, the convolutions ``parts`` give what they gave for these images: no work.

    For a thief who asks again and again, and changes only what comes after them.
    """
    outputs = {}
    hooks = [part.register_forward_hook(
        lambda part, inputs, output: outputs.update({part: output})) for part in parts]
    if hooks:
        with evaluating(net), torch.no_grad():
            net(images.to(device_of(net), copy=True))
    for hook in hooks:
        hook.remove()
    try:
        for part in parts:
            part.forward = lambda x, part=part: outputs[part]
        yield
    finally:
        for part in parts:
            del part.forward  # the class's own again


def norms(net, images):
    """[(name of the convolution, the batch norm behind it)], in the order of the pass.

    Raises ValueError if the network has none.
    """
    check_images(images)
    with evaluating(net), torch.no_grad(), watching(net) as seen:
        net(images[:1].to(device_of(net), copy=True))
    found = [(maker, part) for part, _, maker in seen if maker is not None]
    if not found:
        raise ValueError("the network has no batch normalization behind a convolution, "
                         "so it remembers nothing that the thief could use")
    return found


def moments(x):
    """Mean and variance of each channel of x (N, C, H, W), over images and places."""
    return x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)


def distance(found, part):
    """How far means and variances are from those that a batch norm remembers.

    The square of the difference of the means, in remembered standard deviations, and
    that of the logarithms of the two standard deviations. Shapes broadcast to (…, C).
    """
    (mean, var), usual = found, part.running_var + part.eps
    return (mean - part.running_mean) ** 2 / usual + (
        ((var + part.eps) / usual).log() / 2) ** 2


def mismatch(net, images):
    """The mean :func:`distance` of all channels on images, with its gradient.

    It needs no label, and is near 0 for a network on the images it was trained on.
    """
    check_images(images)
    with evaluating(net), watching(net) as seen:
        net(images.to(device_of(net), copy=True))
    return torch.cat([distance(moments(x), part) for part, x, _ in seen]).mean()
