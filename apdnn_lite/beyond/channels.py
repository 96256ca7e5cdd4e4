"""Permuted channels: the weights of a finished network, scrambled by a secret order.

In the spirit of Chaotic Weights (Lin et al., 2020), with the signs of hardware keys
(Chakraborty et al., 2020). The owner stores each convolution's filters in a secret
order, and flips some signs; users put them back. Networks are copied, not changed.
"""

import copy

import numpy as np
import torch
from torch import nn

from .._checks import checked_seed
from .._machine import device_of, evaluating
from ..prior.weights import layer
from .memory import distance, moments, norms, replaying, watching


def draw_key(net, signs=False, seed=None):
    """{name: (order, sign)} for each convolution; seed None: the system's chance.

    signs: whether each filter is also multiplied by 1 or −1, as a coin falls.
    """
    numbers, key = np.random.default_rng(checked_seed(seed)), {}
    for name, part in net.named_modules():
        if isinstance(part, nn.Conv2d):
            n = part.out_channels
            sign = numbers.choice([-1.0, 1.0], n) if signs else np.ones(n)
            key[name] = (torch.from_numpy(numbers.permutation(n)),
                         torch.from_numpy(sign).float())
    return key


def lock(net, key):
    """A copy whose filter i is the old filter ``order[i]``, times ``sign[i]``."""
    net = copy.deepcopy(net)
    for name, rule in key.items():
        arrange(layer(net, name, nn.Conv2d), *rule)
    return net


def unlock(net, key):
    """A copy with every filter back in its place; a wrong key leaves another chaos."""
    return lock(net, {name: (order.argsort(), sign[order.argsort()])
                      for name, (order, sign) in key.items()})


@torch.no_grad()
def arrange(part, order, sign):
    """Reorder a convolution's filters in place."""
    for each in part.parameters():  # the weight, and the bias if there is one
        each.copy_(torch.einsum("i,i...->i...", sign.to(each), each[order]))


def match(net, images, signs=False, look=8, few=100, own=0.0):
    """The thief's key: the places where each filter's output fits what is remembered.

    Batch normalization stores the mean and variance that each channel should have. From
    the first layer to the last, the thief measures them for every filter on raw images
    and assigns filters to places at the least total distance. Channels that look alike
    may change places: for the ``look`` closest pairs of a layer the thief tries both
    ways, on ``few`` images, and keeps the one by which the next layer fits better. (Or
    both layers: ``own`` is the weight of the layer's own distance in this comparison.)
    Returns (the opened copy, the key they found).
    """
    net, key = copy.deepcopy(net), {}
    layers = norms(net, images)
    for (name, norm), (_, after) in zip(layers, layers[1:] + layers[-1:], strict=True):
        part = net.get_submodule(name)
        locked = {each: tensor.clone() for each, tensor in part.state_dict().items()}
        cost, sign = fits(net, images, norm, signs)

        def place(order, part=part, locked=locked, sign=sign, cost=cost):
            part.load_state_dict(locked)
            arrange(part, order, sign[order, torch.arange(len(order))])
            return own * cost[order, torch.arange(len(order))].sum().item()

        order = assign(cost.T)  # the filter of each place
        here = place(order)
        done, some = map(net.get_submodule, key), images[:few]
        with replaying(net, some, list(done) if look else []):
            least = here + ahead(net, some, after, signs)
            for pair in alike(cost, order)[:look if after is not norm else 0]:
                other = order.clone()
                other[pair] = order[pair.flip(0)]
                found = place(other) + ahead(net, some, after, signs)
                if found < least:
                    least, order = found, other
            place(order)
        back = order.argsort()
        key[name] = (back, sign[order[back], back])
    return net, key


@torch.no_grad()
def fits(net, images, norm, signs, batch_size=100):
    """How badly each filter fits each place, (filters, places), and its sign there."""
    first = second = 0
    for batch in images.to(device_of(net)).split(batch_size):
        with evaluating(net), watching(net, last=norm) as seen:
            net(batch.clone())
        mean, var = moments(seen[0][1])
        first = first + len(batch) / len(images) * mean
        second = second + len(batch) / len(images) * (var + mean ** 2)
    var = (second - first ** 2).clamp_min(0)
    cost = torch.stack([distance((sign * first[:, None], var[:, None]), norm)
                        for sign in ((1, -1) if signs else (1,))])
    least, which = cost.min(dim=0)
    return least, 1.0 - 2.0 * which


def ahead(net, images, after, signs):
    """The least total distance at the next batch norm, whatever its filters' order."""
    cost, _ = fits(net, images, after, signs, len(images))
    return cost[assign(cost.T), torch.arange(len(cost))].sum().item()


def alike(cost, order):
    """Pairs of places (…, 2) that could change filters, those that lose least first."""
    placed = cost[order]                    # places × places: the filter of i put at j
    loss = placed + placed.T - placed.diag() - placed.diag()[:, None]
    pairs = torch.triu_indices(len(order), len(order), 1)
    return pairs.T[loss[*pairs].argsort()]


def assign(cost):
    """The column of each row, (n,), at the least total cost (n, n): Kuhn (1955).

    By shortest augmenting paths; u, v are prices, and cost − u − v is at least 0.
    """
    cost, n = cost.double().cpu().numpy(), len(cost)
    u, v, row_of = np.zeros(n + 1), np.zeros(n + 1), np.full(n + 1, -1)
    for row in range(n):
        least, back, done = np.full(n, np.inf), np.full(n, n), np.zeros(n + 1, bool)
        row_of[n], column = row, n
        while row_of[column] >= 0:
            done[column], here = True, row_of[column]
            gap = np.where(done[:n], np.inf, cost[here] - u[here] - v[:n])
            nearer = gap < least
            least[nearer], back[nearer] = gap[nearer], column
            column, open_ = int(np.where(done[:n], np.inf, least).argmin()), ~done[:n]
            u[row_of[done]] += least[column]
            v[done] -= least[column]
            least[open_] -= least[column]
        while column != n:
            row_of[column] = row_of[back[column]]
            column = back[column]
        row_of[n] = -1
    return torch.from_numpy(row_of[:n].argsort())
