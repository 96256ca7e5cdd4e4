"""A mark in the activations: DeepSigns, of Rouhani, Chen and Koushanfar (2018; 2019).

Networks are left as they were; pixels are in [0, 1]; wrong input raises ValueError.
"""

import contextlib
import copy
import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from .._checks import check_labels, one_of, real_number, whole_number
from .._machine import at_work, device_of, training_mode
from .._network import check_effort, random_numbers
from .._task import check_task
from ..evaluate import predict


@dataclass(frozen=True, eq=False)
class Mark:
    """The owner's secret, and what a judge needs to read the bits of a network."""
    projection: torch.Tensor  # A, (M, T)
    message: torch.Tensor     # b, (K, T), bool
    images: torch.Tensor      # secret ones, and
    labels: torch.Tensor      # their classes
    layer: str                # the name of the module that reads the M features
    centered: bool = True     # whether the classes' mean is subtracted first


def draw_mark(net, split, bits=16, per_class=50, layer="fc", centered=True, seed=0):
    """A new :class:`Mark`. Commit to it: drawn later, one is found in any network."""
    mu, generator = class_means(net, split, layer), random_numbers(seed)
    fewest = split.labels.bincount(minlength=len(mu)).min().item()
    if whole_number("per_class", per_class) > fewest:
        raise ValueError(f"per_class: at most {fewest}, the size of the smallest class")
    order = torch.randperm(len(split), generator=generator).to(split.labels.device)
    secret = split[torch.cat([order[split.labels[order] == each][:per_class]
                              for each in range(len(mu))])]
    bits = whole_number("bits", bits)
    projection = torch.randn(mu.shape[1], bits, generator=generator)
    message = torch.randint(2, (len(mu), bits), generator=generator).bool()
    return Mark(projection, message, secret.images, secret.labels, layer, centered)


def class_means(net, data, layer="fc"):
    """μ, (K, M): each class's mean of what ``layer`` reads; data: a split or a mark."""
    check_labels(data.labels, len(data.images))
    with reading(net, layer) as read:
        logits = predict(net, data.images)
    features = torch.cat(read)[-len(logits):]  # a first try in another layout may fail
    return means(features, data.labels.to(features.device), logits.shape[1])[0]


@contextlib.contextmanager
def reading(net, layer):
    """A list that grows by what the module called ``layer`` reads, (N, M) a batch."""
    modules, read = dict(net.named_modules()), []
    found = modules[one_of("layer", layer, [*filter(None, modules)])]
    with found.register_forward_pre_hook(
            lambda _, inputs: read.append(inputs[0].flatten(1))):
        yield read


def means(features, labels, classes):
    """The mean features of each class, (K, M), and which classes there are, (K,)."""
    of_class = F.one_hot(labels, classes).to(features)
    count = of_class.sum(dim=0)
    return of_class.T @ features / count.clamp_min(1)[:, None], count > 0


def project(mu, mark):
    """μA, or (μ − the mean of its rows)A: the numbers whose signs are the bits."""
    if mu.shape[1] != len(mark.projection):
        raise ValueError(f"the mark is for {len(mark.projection)} features, got "
                         f"{mu.shape[1]}: expected a network of the same layout")
    return (mu - mark.centered * mu.mean(dim=0)) @ mark.projection.to(mu)


def bit_errors(net, mark):
    """How many of the K·T bits that a suspect shows differ from the message."""
    shown = project(class_means(net, mark, mark.layer), mark) > 0
    return int((shown.cpu() != mark.message).sum())


def most_errors(places, p, chance=0.5):
    """θ, the most errors at which a judge convicts: P(errors ≤ θ) ≤ p; −1 for none.

    Each place is wrong by ``chance``: 1/2 for a bit, 1 − 1/K for a random label.
    """
    places, total = whole_number("places", places), 0.0
    p, chance = real_number("p", p, 0, 1), real_number("chance", chance, 0, 1)
    for k in range(places + 1):
        total += math.comb(places, k) * chance**k * (1 - chance)**(places - k)
        if total > p:
            return k - 1
    return places


def embed(net, split, mark, weight=0.3, epochs=2, lr=3e-3, batch_size=64, seed=0):
    """A marked copy, trained on cross-entropy + λ₂·BCE(σ(μA), b); ``weight`` is λ₂.

    μ: class means of a batch (ours; the paper trains centers). Adam, one cycle to lr.
    """
    weight, _ = real_number("weight", weight), check_effort(epochs, lr, batch_size)
    check_task(net, split, split)
    net, split = copy.deepcopy(net), split.to(device_of(net))
    with at_work(net, device=device_of(net)), reading(net, mark.layer) as read:
        torch.manual_seed(whole_number("seed", seed, least=0))
        training_mode(net)
        optimizer = torch.optim.Adam(net.parameters(), lr)
        cycle = OneCycleLR(optimizer, lr, epochs * math.ceil(len(split) / batch_size))
        for _ in range(epochs):
            for index in torch.randperm(len(split), device="cpu").split(batch_size):
                batch = split[index.to(split.labels.device)]
                loss = F.cross_entropy(net(batch.images), batch.labels)
                loss = loss + weight * bit_loss(read.pop(), batch.labels, mark)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                cycle.step()
    return net.eval()


def bit_loss(features, labels, mark):
    """The mean cross-entropy of the bits that the class means of one batch show."""
    mu, here = means(features, labels, len(mark.message))
    shown, bits = project(mu[here], mark), mark.message.to(mu)[here]
    return F.binary_cross_entropy_with_logits(shown, bits)


def permute(net, producer="conv3", consumer="fc", seed=0):
    """A thief's copy, with the same answers: channels between two layers change places.

    Between them may be what treats all channels alike: ReLU, pooling, flattening.
    """
    generator, net = random_numbers(seed), copy.deepcopy(net)
    out, into = net.get_submodule(producer), net.get_submodule(consumer).weight
    if into.shape[1] % len(out.weight):
        raise ValueError(f"expected neighbors, got {producer!r} with {len(out.weight)} "
                         f"channels and {consumer!r} that reads {into.shape[1]}")
    order = torch.randperm(len(out.weight), generator=generator).to(into.device)
    with torch.no_grad():
        for each in out.parameters():
            each.copy_(each[order])
        into.copy_(into.unflatten(1, (len(order), -1))[:, order].flatten(1, 2))
    return net
