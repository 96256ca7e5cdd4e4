"""Adversarial examples: small perturbations that make a network answer wrongly.

Images go in and come out in [0, 1], of shape (N, C, H, W); ε is in the same unit, so 8/255 is
eight gray levels. Networks are left as they were: the gradients are those of the images.
Every function raises ValueError for wrong arguments and for answers or gradients that are NaN.
"""

import torch
from torch.nn import functional as F

from ._checks import check_images, check_labels, real_number, whole_number
from ._machine import device_of, evaluating
from ._network import check_answered, check_classes, checked_logits, suited, with_gradients


def fgsm(net, images, labels, epsilon):
    """One step of size ε along the sign of the gradient (Goodfellow, Shlens and Szegedy, 2015).

    images: (N, C, H, W) in [0, 1]; labels: (N,); epsilon: ≥ 0, L∞, in pixels of [0, 1].
    Returns adversarial images of the same shape, in [0, 1].
    """
    images, labels, epsilon = checked(net, images, labels, epsilon)
    return (images + epsilon * loss_gradient(net, images, labels).sign()).clamp(0, 1)


def pgd(net, images, labels, epsilon, steps=10, step_size=None, norm="inf", random_start=True,
        seed=0):
    """Many small steps, each followed by a projection back to distance ε (Madry et al., 2018).

    images: (N, C, H, W) in [0, 1]; labels: (N,); epsilon: ≥ 0, in pixels of [0, 1].
    norm: "inf", where ε bounds each pixel, or "2", where it bounds the perturbation's length.
    step_size: by default 2.5 ε / steps, enough to reach the edge from anywhere.
    random_start: begin at a random point within ε, drawn by ``seed``.
    Returns adversarial images of the same shape, in [0, 1] and within ε.
    """
    if str(norm) not in ("inf", "2", "2.0"):
        raise ValueError(f"norm must be 'inf' or '2', got {norm!r}")
    images, labels, epsilon = checked(net, images, labels, epsilon)
    norm, steps = str(norm)[:3].removesuffix(".0"), whole_number("steps", steps)
    step_size = 2.5 * epsilon / steps if step_size is None else real_number("step_size", step_size)
    perturbation = torch.zeros_like(images)
    if random_start:
        uniform = torch.rand(images.shape, generator=random_numbers(seed), device="cpu").to(images)
        perturbation = project((2 * uniform - 1) * epsilon, epsilon, norm)
    for _ in range(steps):
        adversarial = (images + perturbation).clamp(0, 1)
        direction = steepest(loss_gradient(net, adversarial, labels), norm)
        perturbation = project(adversarial + step_size * direction - images, epsilon, norm)
    return (images + perturbation).clamp(0, 1)


def universal(net, images, labels, epsilon, epochs=5, batch_size=100, step_size=None, seed=0):
    """One perturbation for all images, (1, C, H, W) with every entry in [−ε, ε].

    Universal perturbations are due to Moosavi-Dezfooli et al. (2017); this is the simpler way of
    Shafahi et al. (2020): signed gradient ascent on the loss over batches, clipped to ±ε.
    step_size: by default ε / 10. To use δ, add it and clip: ``(x + delta).clamp(0, 1)``.
    """
    images, labels, epsilon = checked(net, images, labels, epsilon)
    epochs, batch_size = whole_number("epochs", epochs), whole_number("batch_size", batch_size)
    step_size = epsilon / 10 if step_size is None else real_number("step_size", step_size)
    generator, delta = random_numbers(seed), torch.zeros_like(images[:1])
    for _ in range(epochs):
        for index in torch.randperm(len(images), generator=generator, device="cpu").split(batch_size):
            # One δ is added to all images: its gradient is the sum of theirs.
            gradient = loss_gradient(net, (images[index] + delta).clamp(0, 1), labels[index])
            direction = gradient.sum(dim=0, keepdim=True).sign()
            delta = (delta + step_size * direction).clamp(-epsilon, epsilon)
    return delta


def loss_gradient(net, images, labels):
    """The gradient of the summed cross-entropy with respect to each pixel, (N, C, H, W).

    The sum, not the mean: then an image's gradient does not depend on the rest of its batch.
    """
    with evaluating(net), with_gradients():
        pixels = images.detach().clone().requires_grad_(True)
        logits = net(suited(pixels, net))
        gradient, = torch.autograd.grad(losses(logits, labels.clone()).sum(), pixels)
    if not gradient.isfinite().all():
        raise ValueError("the network's gradient is NaN or infinite in some pixels")
    return gradient


def losses(logits, labels):
    """The cross-entropy of each image, (N,), with a gradient even where it is rounded to 0.

    With m = log Σ exp(logits of the other classes) − (logit of the true class) it is
    log(1 + exp m). Where the network is so sure that this is 0, the gradient is that of exp m.
    """
    check_answered(checked_logits(logits, len(labels)))
    check_classes(labels, logits.shape[1])
    found = F.cross_entropy(logits, labels, reduction="none")
    if (sure := found == 0).any():
        true = labels[sure, None]
        margin = logits[sure].scatter(1, true, -torch.inf).logsumexp(dim=1) - logits[sure].gather(1, true)[:, 0]
        found = torch.cat([found[~sure], margin.detach().exp().clamp_min(1e-30) * margin])
    return found


def steepest(gradient, norm):
    """The step of length 1 that raises the loss most: the sign for L∞, the direction for L2."""
    if norm == "inf":
        return gradient.sign()
    # Times a power of two, which rounds nothing: the squares of tiny numbers would be 0.
    exponent = gradient.abs().amax(dim=(1, 2, 3), keepdim=True).frexp().exponent
    gradient = torch.ldexp(gradient, (-exponent).clamp_max(126))
    return gradient / lengths(gradient).clamp_min(1e-12)


def project(perturbation, epsilon, norm):
    """The nearest perturbation of length at most ε."""
    if norm == "inf":
        return perturbation.clamp(-epsilon, epsilon)
    return perturbation * (epsilon / lengths(perturbation).clamp_min(1e-12)).clamp_max(1)


def lengths(images):
    """The L2 length of each image, (N, 1, 1, 1)."""
    return images.flatten(1).norm(dim=1)[:, None, None, None]


def random_numbers(seed):
    """A generator of random numbers on the CPU: the same on every device."""
    return torch.Generator("cpu").manual_seed(whole_number("seed", seed, least=0))


def checked(net, images, labels, epsilon):
    """Images and labels on the network's device, and ε, if an attack can use them."""
    check_images(images)
    check_labels(labels, len(images))
    epsilon = real_number("epsilon", epsilon, unit=", in pixels of [0, 1]")
    device = device_of(net)
    return images.detach().to(device), labels.to(device), epsilon
