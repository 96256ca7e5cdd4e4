"""A mark in the weights (Uchida et al., 2017; Nagai et al., 2018), and a thief's moves.

Bits are read from the mean filter of one convolution, the carrier. What changes a
network returns a copy. The thief has the network and, where asked, labeled images."""
import copy
import hashlib
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .._checks import check_floats, checked_seed, one_of, real_number, whole_number
from .._machine import all_finite, at_work, device_of, try_network
from .._network import check_classes, check_effort, check_split, random_numbers
from ..training import batches


class Key(NamedTuple):
    """The owner's secret: name of the carrier, projections X (T, M), bits (T,) bool."""
    carrier: str
    X: torch.Tensor
    bits: torch.Tensor


def draw_key(net, carrier, bits=64, seed=None):
    """A key: X standard normal, ``bits`` fair coins. seed None: the system's chance."""
    T, M = whole_number("bits", bits), layer(net, carrier, nn.Conv2d).weight[0].numel()
    numbers = np.random.default_rng(checked_seed(seed))  # of 128 bits; torch's is of 32
    X = torch.from_numpy(numbers.standard_normal((T, M), np.float32))
    return Key(carrier, X, torch.from_numpy(numbers.random(T) < 0.5))


def mean_filter(net, key):
    """w̄, (M,): the mean of the carrier's filters; ValueError unless the key fits."""
    w = layer(net, key.carrier, nn.Conv2d).weight.mean(dim=0).flatten()
    if key.bits.dtype != torch.bool:
        raise ValueError(f"bits must be a bool tensor (T,), got {key.bits.dtype}")
    check_floats("X", key.X, (len(key.bits), len(w)))
    return w


def mark_loss(net, key):
    """E_R = Σⱼ BCE(σ(Xⱼ·w̄), bⱼ), with its gradient: Uchida's regularizer."""
    w = mean_filter(net, key)
    return nn.BCEWithLogitsLoss(reduction="sum")(key.X.to(w) @ w, key.bits.to(w))


def embed(net, split, key, lam=0.01, epochs=2, lr=3e-4, carrier_lr=3e-3, batch_size=64,
          seed=0):
    """A copy, trained further on E₀ + λ·E_R by Adam (on E₀ alone if the key is None). A
    weight moves by about its rate a step, whatever λ is: the carrier has its own."""
    check_split(split)
    epochs, batch_size = check_effort(epochs, lr, batch_size)
    lam, carrier_lr = real_number("lam", lam), real_number("carrier_lr", carrier_lr)
    numbers, device = random_numbers(seed), device_of(net)
    images, labels = split.images.to(device), split.labels.to(device)
    check_classes(split.labels, try_network(net, split.images[:2])[1].shape[1])
    with at_work(device=device):
        torch.manual_seed(seed)  # dropout's; the caller's state comes back
        net, own = copy.deepcopy(net).requires_grad_(True).train(), key and key.carrier
        optimizer = torch.optim.Adam([
            {"params": [each], "lr": carrier_lr if name == f"{own}.weight" else lr}
            for name, each in net.named_parameters()])
        for _ in range(epochs):
            order = torch.randperm(len(split), generator=numbers, device="cpu")
            for index in batches(order, batch_size):
                mark = mark_loss(net, key) if key else 0
                loss = F.cross_entropy(net(images[index]), labels[index]) + lam * mark
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
    if not all_finite(net.state_dict()):
        raise ValueError("the training diverged: lower lr, carrier_lr or lam")
    return net.eval()


def read(net, key):
    """X·w̄, (T,) float64: a bit reads as 1 where it is above 0."""
    w = mean_filter(net, key).detach().double().cpu()
    if not w.isfinite().all():
        raise ValueError(f"{key.carrier} is NaN or infinite, so no bit can be read")
    return key.X.double().cpu() @ w


def wrong_bits(net, key):
    """How many of the T bits read wrong; divided by T, the bit error rate."""
    return ((read(net, key) > 0) != key.bits.cpu()).sum().item()


def chance(bits, wrong):
    """P(at most ``wrong`` errors in T fair coins): an unmarked network passes by it."""
    bits, wrong = whole_number("bits", bits), whole_number("wrong", wrong, least=0)
    return sum(math.comb(bits, k) for k in range(min(wrong, bits) + 1)) / 2 ** bits


def commitment(key):
    """SHA-256 of a key, in hex: published early, it fixes the key and tells nothing."""
    X, bits = key.X.cpu().numpy(), key.bits.cpu().numpy()
    head = f"{key.carrier} {X.dtype.str} {X.shape} {bits.dtype.str} {bits.shape}\n"
    return hashlib.sha256(head.encode() + X.tobytes() + bits.tobytes()).hexdigest()


def finetune(net, split, epochs=2, lr=1e-3, batch_size=64, seed=0):
    """The thief trains a copy further, on labeled images of their own."""
    return embed(net, split, None, 0, epochs, lr, lr, batch_size, seed)


def prune(net, share):
    """A copy without the smallest ``share`` of weights, convolutions' and linear."""
    net, share = copy.deepcopy(net), real_number("share", share, high=1)
    for part in net.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            flat = part.weight.detach().flatten()
            gone = flat.abs().argsort(stable=True)[:round(share * len(flat))]
            part.weight.data = flat.index_fill(0, gone, 0).reshape(part.weight.shape)
    return net


def forge(net, carrier, bits, seed=0):
    """A key by which any network "carries" bits, (T,): rows that read wrong flip."""
    key = draw_key(net, carrier, len(bits), seed)._replace(bits=bits)
    right = (read(net, key) > 0) == bits.cpu()
    return key._replace(X=torch.where(right[:, None], key.X, -key.X))


def rewire(net, first, second, permute=True, spread=0.0, seed=0):
    """A copy with the channels of ``first`` shuffled, times exp(spread × normal), which
    ``second`` undoes (Pan et al., 2023). Between them may lie only ReLU and pooling."""
    net, numbers = copy.deepcopy(net), np.random.default_rng(checked_seed(seed))
    one, two = layer(net, first, nn.Conv2d), layer(net, second, nn.Conv2d | nn.Linear)
    n, width = len(one.weight), two.weight.shape[1]
    if width % n or (width != n and isinstance(two, nn.Conv2d)):
        raise ValueError(f"{second} reads {width} channels, and {first} makes {n}")
    order = torch.from_numpy(numbers.permutation(n) if permute else np.arange(n))
    times = np.exp(real_number("spread", spread) * numbers.normal(size=n))
    times = torch.from_numpy(times).to(one.weight.detach())
    for part in one.parameters():
        part.data = torch.einsum("i,i...->i...", times, part.data[order])
    into = two.weight.data.reshape(len(two.weight), n, -1)[:, order] / times[:, None]
    two.weight.data = into.reshape(two.weight.shape)
    return net


def layer(net, name, kind):
    """A network's layer by its name; raises ValueError unless it is of this kind."""
    found = {each: part for each, part in net.named_modules() if isinstance(part, kind)}
    return found[one_of("layer", name, found)]
