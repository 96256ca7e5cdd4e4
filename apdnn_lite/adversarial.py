"""Adversarial examples: small perturbations that make a network answer wrongly.

Images go in and come out in [0, 1], of shape (N, C, H, W); ε is in the same unit, so
8/255 is eight gray levels. Networks are left as they were. Wrong arguments raise
ValueError, and so do answers and gradients that are NaN.
"""

import torch

from ._checks import whole_number
from ._machine import evaluating
from ._network import asking, checked, checked_step, losses, random_numbers, recording


def fgsm(net, images, labels, epsilon):
    """One step of size ε along the gradient's sign (Goodfellow, Shlens, Szegedy, 2015).

    images: (N, C, H, W) in [0, 1]; labels: (N,); epsilon: ≥ 0, L∞, in the same pixels.
    Returns adversarial images of the same shape, in [0, 1].
    """
    images, labels, epsilon = checked(net, images, labels, epsilon)
    return (images + epsilon * loss_gradient(net, images, labels).sign()).clamp(0, 1)


def pgd(net, images, labels, epsilon, steps=10, step_size=None, norm="inf",
        random_start=True, seed=0):
    """Many small steps, each projected back to distance ε (Madry et al., 2018).

    images: (N, C, H, W) in [0, 1]; labels: (N,); epsilon: ≥ 0, in pixels of [0, 1].
    norm: "inf", where ε bounds each pixel, or "2", where it bounds the perturbation's
        length.
    step_size: by default 2.5 ε / steps, enough to reach the edge from anywhere.
    random_start: begin at a random point within ε, drawn by ``seed``.
    Returns adversarial images of the same shape, in [0, 1] and within ε.
    """
    if str(norm) not in ("inf", "2", "2.0"):
        raise ValueError(f"norm must be 'inf' or '2', got {norm!r}")
    images, labels, epsilon = checked(net, images, labels, epsilon)
    norm, steps = str(norm).removesuffix(".0"), whole_number("steps", steps)
    step_size = checked_step(step_size, 2.5 * epsilon / steps)
    perturbation = torch.zeros_like(images)
    if random_start:
        generator = random_numbers(seed)
        uniform = torch.rand(images.shape, generator=generator, device="cpu",
                             dtype=torch.float32).to(images)
        perturbation = project((2 * uniform - 1) * epsilon, epsilon, norm)
    for _ in range(steps):
        adversarial = (images + perturbation).clamp(0, 1)
        step = step_size * steepest(loss_gradient(net, adversarial, labels), norm)
        perturbation = project(adversarial + step - images, epsilon, norm)
    return (images + perturbation).clamp(0, 1)


def universal(net, images, labels, epsilon, epochs=5, batch_size=100, step_size=None,
              seed=0):
    """One perturbation for all images, (1, C, H, W) with every entry in [−ε, ε].

    Universal perturbations are due to Moosavi-Dezfooli et al. (2017); this is the
    simpler way of Shafahi et al. (2020): signed gradient ascent on the loss over
    batches, clipped to ±ε.
    step_size: by default ε / 10. To use δ, add it and clip: ``(x + delta).clamp(0,
        1)``.
    """
    images, labels, epsilon = checked(net, images, labels, epsilon)
    batch_size = whole_number("batch_size", batch_size)
    step_size = checked_step(step_size, epsilon / 10)
    generator, delta = random_numbers(seed), torch.zeros_like(images[:1])
    for _ in range(whole_number("epochs", epochs)):
        order = torch.randperm(len(images), generator=generator, device="cpu")
        for index in order.split(batch_size):
            # One δ is added to all images: its gradient is the sum of theirs.
            adversarial = (images[index] + delta).clamp(0, 1)
            gradient = loss_gradient(net, adversarial, labels[index])
            direction = gradient.sum(dim=0, keepdim=True).sign()
            delta = (delta + step_size * direction).clamp(-epsilon, epsilon)
    return delta


def loss_gradient(net, images, labels):
    """The gradient of the summed cross-entropy in each pixel, (N, C, H, W).

    The sum, not the mean: then an image's gradient does not depend on the rest of its
    batch.
    """
    with evaluating(net), recording(), asking(net) as answer:
        pixels = images.detach().clone().requires_grad_(True)
        loss = losses(answer(pixels), labels.clone()).sum()
        gradient, = torch.autograd.grad(loss, pixels)
    if not gradient.isfinite().all():
        raise ValueError("the network's gradient is NaN or infinite in some pixels")
    return gradient


def steepest(gradient, norm):
    """The step of length 1 that raises the loss most: for L∞ the gradient's sign."""
    if norm == "inf":
        return gradient.sign()
    # Times a power of two, which rounds nothing: squares of tiny numbers would be 0.
    exponent = gradient.abs().amax(dim=(1, 2, 3), keepdim=True).frexp().exponent
    gradient = torch.ldexp(gradient, (-exponent).clamp_max(126))
    return gradient / lengths(gradient).clamp_min(1e-12)


def project(perturbation, epsilon, norm):
    """The nearest perturbation of length at most ε."""
    if norm == "inf":
        return perturbation.clamp(-epsilon, epsilon)
    shrink = epsilon / lengths(perturbation).clamp_min(1e-12)
    return perturbation * shrink.clamp_max(1)


def lengths(images):
    """The L2 length of each image, (N, 1, 1, 1)."""
    return images.flatten(1).norm(dim=1)[:, None, None, None]
