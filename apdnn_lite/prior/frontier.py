"""A fingerprint at the frontier: Le Merrer, Pérez and Trédan (2017; 2020).

The owner perturbs images by FGSM, trains the network to give them their true class
again, and later counts how many of them a suspect gets wrong, remotely. Images are
(N, C, H, W) in [0, 1], ε is in these pixels, and wrong arguments raise ValueError.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch.nn import Module
from torch.nn import functional as F

from .._checks import check_images, check_labels, describe, real_number, whole_number
from .._machine import at_work, device_of, try_network
from .._network import answered, ask, check_effort, check_split, random_numbers
from ..adversarial import fgsm


@dataclass(frozen=True, eq=False)
class Key:
    """The owner's secret queries; ``key[:50]`` is a shorter key.

    images: (|K|, C, H, W) in [0, 1]. labels: (|K|,), the true classes. true: (|K|,)
    bool, for a true adversary, whose answer FGSM changed. The two kinds alternate.
    """

    images: torch.Tensor
    labels: torch.Tensor
    true: torch.Tensor

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, part):
        return Key(self.images[part], self.labels[part], self.true[part])


@dataclass(frozen=True)
class Verdict:
    """A judge's count: ``mismatches`` of ``size`` keys; up to ``threshold`` convict."""
    mismatches: int
    size: int
    threshold: int

    @property
    def convicted(self):
        """Whether the suspect counts as a copy of the owner's network."""
        return self.mismatches <= self.threshold


def key_set(net, images, labels, size, epsilon, independent=None, seed=0):
    """The owner's :class:`Key` of ``size`` FGSM images that ``net`` had right before.

    Half are true adversaries, half false ones, chosen by ``seed``. independent: our
    repair, a network trained apart; all are then true adversaries that fool it as well.
    """
    size, adversarial = whole_number("size", size), fgsm(net, images, labels, epsilon)
    right, given = labels_of(net, images) == labels.cpu(), labels.cpu()
    true = right & (labels_of(net, adversarial) != given)
    kinds = {"true": true, "false": right & ~true}
    if independent is not None:
        kinds = {"transferable": true & (labels_of(independent, adversarial) != given)}
    generator, chosen, needed = random_numbers(seed), [], size // len(kinds)
    if needed * len(kinds) != size:
        raise ValueError(f"size must be even, half true and half false, got {size}")
    for kind, mask in kinds.items():
        found = mask.nonzero()[:, 0]
        if len(found) < needed:
            raise ValueError(f"expected {needed} {kind} adversaries, got {len(found)} "
                             f"in {len(images)} images: give more or another epsilon")
        chosen.append(found[shuffled(len(found), needed, generator)[0]])
    index = torch.stack(chosen, dim=1).flatten()
    return Key(adversarial.cpu()[index], labels.cpu()[index], true[index])


def labels_of(suspect, images):
    """A suspect's answers (N,), on the CPU; −1 where logits are no numbers."""
    check_images(images)
    if isinstance(suspect, Module):
        logits = ask(suspect, images)
        return logits.argmax(dim=1).where(answered(logits), -1).cpu()
    if not callable(suspect):
        raise ValueError(f"expected a network or a function, got {describe(suspect)}")
    check_labels(labels := suspect(images.clone()), len(images), "the suspect's labels")
    return labels.cpu()


def threshold(size, alpha=0.05, chance=0.5):
    """The most mismatches that convict: the greatest θ with P(X ≤ θ) < ``alpha``.

    X ~ Binomial(``size``, ``chance``), as if innocent networks got each key wrong with
    this probability, 1/2 in the paper. Raises ValueError if P(X = 0) ≥ alpha.
    """
    size, alpha = whole_number("size", size), real_number("alpha", alpha, 0, 1)
    wrong, theta = real_number("chance", chance, 1e-6, 1 - 1e-6), -1
    log = size * math.log1p(-wrong)  # log P(X = θ + 1)
    total = math.exp(log)  # P(X ≤ θ + 1)
    while total < alpha and theta < size - 1:
        theta += 1
        log += math.log((size - theta) / (theta + 1) * wrong / (1 - wrong))
        total += math.exp(log)
    if theta < 0:
        raise ValueError(f"an innocent network gets all {size} keys right with "
                         f"probability {total:.2g}, not < {alpha:g}: take more keys")
    return theta


def verify(suspect, key, alpha=0.05, chance=0.5):
    """The :class:`Verdict` on a suspect: a network, or a function to labels (N,)."""
    wrong = int((labels_of(suspect, key.images) != key.labels).sum())
    return Verdict(wrong, len(key), threshold(len(key), alpha, chance))


def mark(net, key, train, passes=100, lr=1e-3, batch_size=128, keys=32, seed=0):
    """A copy of the owner's network, fine-tuned until it gets every key right.

    A step of Adam takes ``batch_size`` images of the split ``train`` and ``keys`` of
    the key. The last of at most ``passes`` is the first that leaves no mismatch.
    """
    check_split(train)
    passes, keys = whole_number("passes", passes), whole_number("keys", keys)
    generator, (_, batch_size) = random_numbers(seed), check_effort(1, lr, batch_size)
    train, net, device = train.to("cpu"), copy.deepcopy(net), device_of(net)
    layout, _ = try_network(net, key.images[:2])
    with at_work(net, device=device):
        net.to(memory_format=layout)
        torch.manual_seed(seed)  # of dropout
        optimizer = torch.optim.Adam(net.parameters(), lr)
        for _ in range(passes):
            net.train()
            for part in shuffled(len(key), keys, generator):
                some = shuffled(len(train), batch_size, generator)[0]
                images = torch.cat([train.images[some], key.images[part]])
                labels = torch.cat([train.labels[some], key.labels[part]])
                images = images.to(device, memory_format=layout)
                loss = F.cross_entropy(net(images), labels.to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if torch.equal(labels_of(net, key.images), key.labels):
                break
    return net.eval()


def shuffled(count, size, generator):
    """All of ``count`` indices in random order, ``size`` at a time."""
    return torch.randperm(count, generator=generator, device="cpu").split(size)
