"""What a thief can do who has a few labeled raw images beside the stolen network.

Each thief gives what they would use: a network for raw images, or a perturbation to
put before the stolen one. Images are (N, C, H, W) with pixels in [0, 1]. The owner's
network is left as it was. Wrong arguments raise ValueError.

That a few labels read much out of features: Alain and Bengio (2017), linear probes.
"""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from .._checks import check_images, one_of, real_number, whole_number
from .._machine import at_work, device_of, evaluating, try_network
from .._network import (
    ask,
    asking,
    check_effort,
    check_labeled,
    check_split,
    random_numbers,
    recording,
    suited,
)
from ..attacks import information
from ..transforms import Learned

LAYERS = ("pixels", "features", "logits")


def pick(split, per_class, seed=0):
    """The thief's labeled images: ``per_class`` of each class, drawn by ``seed``."""
    check_split(split)
    per_class, chosen = whole_number("per_class", per_class), []
    generator, labels = random_numbers(seed), split.labels.cpu()
    for label in labels.unique():
        found = (labels == label).nonzero()[:, 0]
        if len(found) < per_class:
            raise ValueError(f"expected {per_class} images of class {int(label)}, "
                             f"the split has {len(found)}")
        order = torch.randperm(len(found), generator=generator)
        chosen.append(found[order[:per_class]])
    return split[torch.cat(chosen).to(split.labels.device)]


def representation(net, images, layer="features"):
    """What a layer holds of images, (N, D): "pixels", "features", "logits" or a name.

    Features are what the last linear layer reads. A name is that of a module of the
    network, as in ``net.named_modules()``; its maps are averaged over their pixels.
    """
    if layer == "pixels":
        return suited(images, net).to(device_of(net)).flatten(1)
    if layer == "logits":
        return ask(net, images)
    seen, parts = [], dict(net.named_modules())
    if layer == "features":
        last = [part for part in parts.values() if isinstance(part, nn.Linear)][-1:]
        if not last:
            raise ValueError("the network has no linear layer: name a layer of it")
        hook = last[0].register_forward_hook(lambda part, x, out: seen.append(x[0]))
    else:
        module = parts[one_of("layer", layer, [*LAYERS, *filter(None, parts)])]
        hook = module.register_forward_hook(lambda part, x, out: seen.append(out))
    try:
        ask(net, images)
    finally:
        hook.remove()
    found = torch.cat(seen)
    return found.mean(dim=(2, 3)) if found.dim() == 4 else found.flatten(1)


class ReadOut(nn.Module):
    """Raw images → logits, by one linear layer on what a layer of ``net`` holds."""

    def __init__(self, net, layer, seen, num_classes):
        super().__init__()
        self.net, self.layer = copy.deepcopy(net).requires_grad_(False), layer
        spread = seen.std(dim=0)
        self.register_buffer("mean", seen.mean(dim=0))
        spread = spread.where(spread > 1e-6, torch.ones_like(spread))
        self.register_buffer("scale", spread)
        self.linear = nn.Linear(seen.shape[1], num_classes).to(seen)

    def forward(self, images):
        seen = representation(self.net, images, self.layer)
        return self.linear((seen - self.mean) / self.scale)


@recording()
def read_out(net, labeled, layer="features", weight=1.0):
    """A :class:`ReadOut` of a layer, fitted to a split of labeled raw images.

    It is logistic regression, Σ cross-entropy + weight/2 · ‖W‖², by L-BFGS.
    """
    check_labeled(net, labeled)
    weight = real_number("weight", weight)
    labels = labeled.labels.to(device_of(net))
    with torch.no_grad():
        seen = representation(net, labeled.images, layer)
    thief = ReadOut(net, layer, seen, ask(net, labeled.images[:1]).shape[1])
    inputs, linear = (seen - thief.mean) / thief.scale, thief.linear
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=200,
                                  line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(linear(inputs), labels, reduction="sum")
        loss = loss + weight / 2 * linear.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return thief.requires_grad_(False).eval()


@recording()
def universal_key(net, labeled, images=None, steps=150, lr=0.03, batch_size=100,
                  sigma=0.03, seed=0, clip=False):
    """One perturbation for all images that makes the network say the labels.

    It starts as normal noise of standard deviation ``sigma``, in pixels of [0, 1], and
    follows the gradient of the cross-entropy of a batch of ``labeled`` images by Adam.
    images: unlabeled raw images; with them it also raises the thief's score of a batch
        (:func:`~apdnn_lite.attacks.information`). Returns a frozen ``Learned``.
    """
    check_labeled(net, labeled)
    steps, batch_size = check_effort(steps, lr, batch_size)
    device, generator = device_of(net), random_numbers(seed)
    thief = Learned(tuple(labeled.images.shape[1:]), sigma, seed, clip).to(device)
    optimizer, labeled = torch.optim.Adam([thief.delta], lr), labeled.to(device)
    if images is not None:
        check_images(images)
    with evaluating(net), asking(net) as answer:
        for _ in range(steps):
            some = labeled[batch(labeled.labels, batch_size, generator)]
            loss = F.cross_entropy(answer(thief(some.images)), some.labels)
            if images is not None:
                more = images[batch(images, batch_size, generator)]
                loss = loss - information(answer(thief(more.to(device))))
            thief.delta.grad, = torch.autograd.grad(loss, [thief.delta])
            optimizer.step()
    return thief.requires_grad_(False).eval()


def fine_tune(net, labeled, steps=150, lr=3e-4, batch_size=32, seed=0):
    """A copy of the network, trained further on labeled raw images by Adam.

    All weights move, and batch normalization too. From an untrained network this is
    training from scratch with the same labels. The copy is in evaluation mode.
    """
    check_labeled(net, labeled)
    steps, batch_size = check_effort(steps, lr, batch_size)
    net, device, generator = copy.deepcopy(net), device_of(net), random_numbers(seed)
    labeled, (layout, _) = labeled.to(device), try_network(net, labeled.images[:2])
    with at_work(net, device=device):
        net.to(memory_format=layout).train().requires_grad_(True)
        torch.manual_seed(seed)  # of dropout
        optimizer = torch.optim.Adam(net.parameters(), lr)
        for _ in range(steps):
            some = labeled[batch(labeled.labels, batch_size, generator)]
            images = some.images.contiguous(memory_format=layout)
            loss = F.cross_entropy(net(images), some.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


def batch(values, size, generator):
    """Random places of at most ``size`` of the values, on their device."""
    return torch.randperm(len(values), generator=generator)[:size].to(values.device)
