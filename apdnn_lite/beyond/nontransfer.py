"""Non-transferable learning: forbid a domain of images (Wang et al., 2022).

The network is trained to be right in one domain and wrong in another, and its features
of the two are driven apart. Here the permitted domain is images with the owner's key,
and the forbidden one is raw images, so that it is a cousin of this book's E_p + β·E_r.
"""

import torch
from torch.nn import functional as F

from .._checks import describe, real_number
from .._machine import all_finite, at_work, check_module, device_of, training_mode
from .._network import check_effort, check_split, random_numbers
from ..training import batches


def train(net, split, transform, epochs=3, lr=2e-3, batch_size=64, alpha=0.1, cap=1.0,
          seed=0):
    """Train ``net`` in place for processed images, and against raw ones.

    The loss is E_p − min(cap, α·E·D): E_p is the cross-entropy of processed images, E
    that of raw ones, D the distance of their features (:func:`discrepancy`), and the
    cap keeps the last term from taking over. By Adam with a one-cycle schedule.
    net: has ``features(images)``, (N, F), and a last layer ``fc``, as
        :class:`~apdnn_lite.prior.TinyCNN` does. Raises ValueError if it diverges.
    """
    check_module(transform)
    if not (hasattr(net, "features") and hasattr(net, "fc")):
        raise ValueError("expected a network with features(images) and a layer fc, as "
                         f"prior.TinyCNN has them, got {describe(net)}")
    check_split(split)
    epochs, batch_size = check_effort(epochs, lr, batch_size)
    alpha, cap = real_number("alpha", alpha), real_number("cap", cap)
    device, numbers = device_of(net), random_numbers(seed)
    images, labels = split.images.to(device), split.labels.to(device)
    with at_work(net, transform, device=device):
        net.to(memory_format=torch.channels_last)  # the faster layout
        training_mode(net)
        optimizer = torch.optim.Adam(net.parameters(), lr)
        steps = epochs * len(batches(labels, batch_size))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, max(2, steps))
        for _ in range(epochs):
            order = torch.randperm(len(split), generator=numbers, device="cpu")
            for index in batches(order.to(device), batch_size):
                both = torch.cat([transform(images[index]), images[index]])
                both = both.contiguous(memory_format=torch.channels_last)
                features = net.features(both)
                right, wrong = (F.cross_entropy(logits, labels[index])
                                for logits in net.fc(features).chunk(2))
                apart = discrepancy(*features.chunk(2))
                loss = right - (alpha * wrong * apart).clamp_max(cap)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    if not all_finite(net.state_dict()):
        raise ValueError("the training diverged: lower lr, alpha or cap")
    return net.eval()


def discrepancy(a, b, widths=(0.25, 0.5, 1.0, 2.0, 4.0)):
    """The squared maximum mean discrepancy of features (N, F) and (M, F).

    It is 0 for equal sets and grows as they part (Gretton et al., 2012): the mean
    similarity within each, less twice that between them. The similarity of two points
    is exp(−d²/(w·m)), summed over the widths w; m is the mean d² of all.
    """
    both = torch.cat([a, b])
    norms = both.square().sum(dim=1)
    squares = (norms + norms[:, None] - 2 * both @ both.T).clamp_min(0)
    usual = squares.detach().mean().clamp_min(1e-12)
    alike = sum((-squares / (width * usual)).exp() for width in widths)
    n = len(a)
    return alike[:n, :n].mean() + alike[n:, n:].mean() - 2 * alike[:n, n:].mean()
