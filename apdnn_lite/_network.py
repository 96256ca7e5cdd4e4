"""How any network is asked, a reader's own included, and what it may be given and give back."""

import contextlib
from functools import partial

import numpy as np
import torch
from torch.func import functional_call
from torch.nn import functional as F

from ._checks import (
    check_images,
    check_is_split,
    check_labels,
    checked_seed,
    describe,
    real_number,
    whole_number,
)
from ._machine import check_module, device_of, evaluating, on_loan, try_network


@torch.no_grad()
def ask(net, images, transform=None, batch_size=None):
    """The logits that :func:`~apdnn_lite.evaluate.predict` returns, even if they are not finite."""
    if isinstance(images, torch.Tensor) and images.dim() == 4 and len(images) == 0:
        one_image = images.new_zeros(1, *images.shape[1:])  # tells the number of classes
        return ask(net, one_image, transform)[:0]
    check_images(images, raw=transform is not None)
    if transform is None:
        check_processed(images)
        transform = torch.nn.Identity()
    if not isinstance(transform, torch.nn.Module):
        raise ValueError(f"transform must be a module such as Fixed, got {describe(transform)}")
    device = device_of(net)
    batch_size = (100 if device.type == "cpu" else 2000) if batch_size is None else batch_size
    process, logits = placed(transform, device), []
    with evaluating(net, transform), asking(net) as answer:
        for batch in suited(images, transform).split(whole_number("batch_size", batch_size)):
            logits.append(answer(process(batch.to(device, copy=True))))  # it may write into them
    return torch.cat(logits)


def answered(logits):
    """For which images the network has an answer, (N,): its largest logit is a finite number."""
    return logits.amax(dim=1).isfinite()


def check_answered(logits):
    """The logits; raises ValueError unless the network has an answer for every image."""
    missing = len(logits) - answered(logits).sum().item()
    if missing:
        raise ValueError(f"the network's logits are NaN or infinite for {missing} of {len(logits)} "
                         "images: has its training diverged?")
    return logits


def suited(images, module):
    """Floating-point images in the type of a module's own numbers, such as float64."""
    check_module(module)
    tensors = (*module.parameters(), *module.buffers(), images)
    return images.to(next(tensor.dtype for tensor in tensors if tensor.is_floating_point()))


def placed(module, device):
    """A module as a function on ``device``: the module itself stays where it is.

    If it is elsewhere, its tensors are copied. They are not moved and moved back, because what
    moves to the device "meta" is lost, and somebody may use the module in the meantime.
    """
    tensors = dict((*module.named_parameters(), *module.named_buffers()))
    if all(tensor.device == device for tensor in tensors.values()):
        return module
    copies = {name: tensor.to(device) for name, tensor in tensors.items()}
    return partial(functional_call, module, copies)


@contextlib.contextmanager
def asking(net):
    """A network as a function from images (N, C, H, W) to logits, inside the ``with`` block.

    Images and weights lie channels-last, the faster layout, until the network fails: one that
    flattens with ``.view`` does not take it. Afterwards it has its own layout again. Raises
    ValueError unless the network returns logits (N, num_classes).
    """
    layout = torch.channels_last

    def asked(images):
        net.to(memory_format=layout)  # of the weights; without effect where they lie so already
        given = images.contiguous(memory_format=layout)
        # A copy, because a network may write into it: nn.ReLU(inplace=True) as a first layer does.
        return net(given.clone() if given is images else given)

    def answer(images):
        nonlocal layout
        images = suited(images, net)
        try:
            logits = asked(images)
        except RuntimeError:
            if layout is torch.contiguous_format:
                raise
            layout = torch.contiguous_format
            logits = asked(images)
        return checked_logits(logits, len(images))

    with on_loan(net):
        yield answer


def checked_logits(logits, count):
    """What a network returned for ``count`` images; raises ValueError unless these are logits."""
    if not (isinstance(logits, torch.Tensor) and logits.dim() == 2 and len(logits) == count
            and logits.shape[1] > 0):
        raise ValueError("the network must return logits, a tensor (N, num_classes) with "
                         f"N = {count}, got {describe(logits)}")
    return logits


def check_classes(labels, num_classes):
    """Raises ValueError unless each label is one of the classes that the network can answer."""
    low, high = (bound.item() for bound in labels.aminmax())
    if not 0 <= low <= high < num_classes:
        raise ValueError(f"expected labels from 0 to {num_classes - 1}, because the network has "
                         f"{num_classes} classes, found labels from {low} to {high}")


def check_processed(images):
    """Raises ValueError for pixels so far from [0, 1] that no perturbation brings them there."""
    low, high = (bound.item() for bound in images.aminmax())
    if not -1 < low <= high < 2:
        raise ValueError("images must have pixels in [0, 1], or less than 1 away from it if they "
                         f"are processed, found values from {low:g} to {high:g}: divide 8-bit "
                         "pixels by 255, and leave normalization to the network")


def check_split(split):
    """Raises ValueError unless there is something to measure: images, and a label for each."""
    check_is_split(split)
    if len(split.images) == 0:
        raise ValueError("the split holds no image: there is nothing to measure")
    check_labels(split.labels, len(split.images))


def check_labeled(net, split):
    """Raises ValueError unless these are raw images, each labeled by a class of the network."""
    check_split(split)
    check_images(split.images)
    check_classes(split.labels, try_network(net, split.images[:2])[1].shape[1])


def losses(logits, labels):
    """The cross-entropy of each image, (N,), with a gradient even where it is rounded to 0.

    With m = log Σ exp(logits of the other classes) − (logit of the true class) it is
    log(1 + exp m). Where the network is so sure that this is 0, the gradient is that of exp m.
    """
    check_answered(checked_logits(logits, len(labels)))
    check_classes(labels, logits.shape[1])
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    found = F.cross_entropy(logits, labels, reduction="none")
    sure = found == 0
    if sure.any():
        logits, labels = logits[sure], labels[sure, None]
        others = logits.scatter(1, labels, -torch.inf).logsumexp(dim=1)
        margins = others - logits.gather(1, labels)[:, 0]
        found = torch.cat([found[~sure], margins.detach().exp().clamp_min(1e-30) * margins])
    return found


@contextlib.contextmanager
def recording():
    """Gradients are recorded inside, even where ``torch.no_grad()`` is set around it."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def random_numbers(seed):
    """A generator of random numbers on the CPU: the same on every device."""
    return torch.Generator("cpu").manual_seed(whole_number("seed", seed, least=0))


def independent_seeds(seed, name, count):
    """Seeds of a thief's own, one for each try; ``count`` of them, an argument called ``name``."""
    seed, count = checked_seed(seed), whole_number(name, count)
    seeds = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return seeds.spawn(count)


def check_effort(steps, lr, batch_size):
    """``steps`` and ``batch_size`` as int, if they and the learning rate leave something to do."""
    real_number("lr", lr, above=True)
    return whole_number("steps", steps), whole_number("batch_size", batch_size)


def checked_pairs(net, raw, processed):
    """The pairs on the network's device, if there is a processed image for each raw one."""
    check_images(raw, "raw")
    check_images(processed, "processed", raw=False)
    if raw.shape != processed.shape:
        raise ValueError("expected pairs, as many processed images as raw ones and of one shape; "
                         f"got {tuple(raw.shape)} and {tuple(processed.shape)}")
    return tuple(images.detach().to(device_of(net), copy=True) for images in (raw, processed))


def checked(net, images, labels, epsilon):
    """Images and labels on the network's device, and ε, if an attack can use them."""
    check_images(images)
    check_labels(labels, len(images))
    epsilon = real_number("epsilon", epsilon, unit=", in pixels of [0, 1]")
    device = device_of(net)
    return images.detach().to(device), labels.to(device), epsilon


def checked_step(step_size, default):
    """The size of an attack's steps, or ``default`` for None."""
    return default if step_size is None else real_number("step_size", step_size)
