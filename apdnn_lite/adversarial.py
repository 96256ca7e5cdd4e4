"""Adversarial examples: small perturbations that make a network answer wrongly.

Images go in and come out in [0, 1], of shape (N, C, H, W); ε is in the same unit, so 8/255 is eight
grey levels. The networks are left as they were: gradients are taken with respect to the images.
"""

import torch
from torch.nn import functional as F

from ._machine import device_of, evaluating


def fgsm(net, images, labels, epsilon):
    """One step of size ε along the sign of the gradient (Goodfellow, Shlens and Szegedy, 2015).

    images: (N, C, H, W) in [0, 1]; labels: (N,); epsilon: ≥ 0, L∞, in pixels of [0, 1].
    Returns adversarial images of the same shape, in [0, 1].
    """
    images, labels = checked(net, images, labels, epsilon)
    with evaluating(net):
        gradient = loss_gradient(net, images, labels)
    return (images + epsilon * gradient.sign()).clamp(0, 1)


def pgd(net, images, labels, epsilon, steps=10, step_size=None, norm="inf", random_start=True, seed=0):
    """Many small steps, each followed by a projection back to distance ε (Madry et al., 2018).

    images: (N, C, H, W) in [0, 1]; labels: (N,); epsilon: ≥ 0, in pixels of [0, 1].
    norm: "inf", where ε bounds each pixel, or "2", where it bounds the length of the perturbation.
    step_size: by default 2.5 ε / steps, enough to reach the edge from anywhere.
    random_start: begin at a random point within ε, drawn by ``seed``.
    Returns adversarial images of the same shape, in [0, 1] and within ε.
    """
    if str(norm) not in ("inf", "2"):
        raise ValueError(f"norm must be 'inf' or '2', got {norm!r}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    images, labels = checked(net, images, labels, epsilon)
    norm, step_size = str(norm), 2.5 * epsilon / steps if step_size is None else step_size
    perturbation = torch.zeros_like(images)
    if random_start:
        generator = torch.Generator().manual_seed(seed)
        uniform = torch.rand(images.shape, generator=generator).to(images.device)
        perturbation = project((2 * uniform - 1) * epsilon, epsilon, norm)
    with evaluating(net):
        for _ in range(steps):
            adversarial = (images + perturbation).clamp(0, 1)
            direction = steepest(loss_gradient(net, adversarial, labels), norm)
            perturbation = project(adversarial + step_size * direction - images, epsilon, norm)
    return (images + perturbation).clamp(0, 1)


def universal(net, images, labels, epsilon, epochs=5, batch_size=100, step_size=None, seed=0):
    """One perturbation for all images, (1, C, H, W) with every entry in [−ε, ε].

    Universal perturbations are due to Moosavi-Dezfooli et al. (2017); this is the simpler way of
    Shafahi et al. (2020): signed gradient ascent on the loss over batches, clipped to ±ε.
    Add it to images and clamp to [0, 1] yourself: ``(x + delta).clamp(0, 1)``.
    """
    images, labels = checked(net, images, labels, epsilon)
    step_size = epsilon / 10 if step_size is None else step_size
    generator = torch.Generator().manual_seed(seed)
    delta = torch.zeros_like(images[:1])
    with evaluating(net):
        for _ in range(epochs):
            for index in torch.randperm(len(images), generator=generator).split(batch_size):
                # The gradient with respect to one δ is the sum of the gradients of the images it is added to.
                gradient = loss_gradient(net, (images[index] + delta).clamp(0, 1), labels[index])
                delta = (delta + step_size * gradient.sum(dim=0, keepdim=True).sign()).clamp(-epsilon, epsilon)
    return delta


def loss_gradient(net, images, labels):
    """The gradient of the summed cross-entropy with respect to each pixel, (N, C, H, W).

    The sum, not the mean: then an image's gradient does not depend on the rest of its batch.
    """
    images = images.detach().requires_grad_(True)
    loss = F.cross_entropy(net(images), labels, reduction="sum")
    return torch.autograd.grad(loss, images)[0]


def steepest(gradient, norm):
    """The step of length 1 that raises the loss most: the sign for L∞, the normalized gradient for L2."""
    return gradient.sign() if norm == "inf" else gradient / lengths(gradient).clamp_min(1e-12)


def project(perturbation, epsilon, norm):
    """The nearest perturbation of length at most ε."""
    if norm == "inf":
        return perturbation.clamp(-epsilon, epsilon)
    return perturbation * (epsilon / lengths(perturbation).clamp_min(1e-12)).clamp_max(1)


def lengths(images):
    """The L2 length of each image, (N, 1, 1, 1)."""
    return images.flatten(1).norm(dim=1)[:, None, None, None]


def checked(net, images, labels, epsilon):
    """Images and labels on the network's device, if they and ε are what an attack can use."""
    if epsilon < 0:
        raise ValueError(f"epsilon must be zero or more, in pixels of [0, 1], got {epsilon}")
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        raise ValueError(f"expected images (N, C, H, W) and labels (N,), got {tuple(images.shape)} "
                         f"and {tuple(labels.shape)}")
    if not (images.min() >= 0 and images.max() <= 1):  # also refuses NaN
        raise ValueError(f"expected pixels in [0, 1], got values from {images.min():g} to {images.max():g}")
    device = device_of(net)
    return images.detach().to(device), labels.to(device)
