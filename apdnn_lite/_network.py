"""How any network is asked, a reader's own included, and what it may be given and give back."""

import contextlib
from functools import partial

import torch
from torch.func import functional_call

from ._checks import check_images, check_labels, describe, whole_number
from ._machine import device_of, evaluating


@torch.no_grad()
def answers(net, images, transform=None, batch_size=None):
    """The logits that :func:`~apdnn_lite.evaluate.predict` returns, even if they are not finite."""
    if isinstance(images, torch.Tensor) and images.dim() == 4 and len(images) == 0:
        one_image = images.new_zeros(1, *images.shape[1:])  # tells the number of classes
        return answers(net, one_image, transform)[:0]
    check_images(images, raw=transform is not None)
    if transform is None:
        check_processed(images)
        transform = torch.nn.Identity()
    if not isinstance(transform, torch.nn.Module):
        raise ValueError(f"transform must be a module such as Fixed, got {describe(transform)}")
    device = device_of(net)
    batch_size = (100 if device.type == "cpu" else 2000) if batch_size is None else batch_size
    process, answer, logits = placed(transform, device), answering(net), []
    with evaluating(net, transform):
        for batch in suited(images, transform).split(whole_number("batch_size", batch_size)):
            logits.append(answer(process(batch.to(device))))
    return torch.cat(logits)


def answered(logits):
    """For which images the network has an answer, (N,): its largest logit is a finite number."""
    return logits.amax(dim=1).isfinite()


def check_answered(logits):
    """The logits; raises ValueError unless the network has an answer for every image."""
    missing = len(logits) - answered(logits).sum().item()
    if missing:
        raise ValueError(f"the network's logits are NaN or infinite for {missing} of {len(logits)} images: "
                         "has its training diverged?")
    return logits


def suited(images, module):
    """Floating-point images in the type of a module's own numbers, such as float64."""
    tensors = (*module.parameters(), *module.buffers(), images)
    return images.to(next(tensor.dtype for tensor in tensors if tensor.is_floating_point()))


def placed(module, device):
    """A module as a function on ``device``: the module itself stays where it is.

    If it is elsewhere, its tensors are copied. They are not moved and moved back, because what moves to
    the device "meta" is lost, and because somebody may use the module in the meantime.
    """
    tensors = dict((*module.named_parameters(), *module.named_buffers()))
    if all(tensor.device == device for tensor in tensors.values()):
        return module
    copies = {name: tensor.to(device) for name, tensor in tensors.items()}
    return partial(functional_call, module, copies)


def answering(net):
    """A network as a function from images (N, C, H, W) to logits (N, num_classes).

    Images are handed over in the channels-last layout, the faster one, until the network fails: one
    that flattens with ``.view`` does not take it. Raises ValueError unless the network returns logits.
    """
    layout = torch.channels_last

    def answer(images):
        nonlocal layout
        images = suited(images, net)
        try:
            logits = net(images.contiguous(memory_format=layout))
        except RuntimeError:
            if layout is torch.contiguous_format:
                raise
            layout = torch.contiguous_format
            logits = net(images.contiguous())
        return checked_logits(logits, len(images))

    return answer


def checked_logits(logits, count):
    """What a network returned for ``count`` images; raises ValueError unless these are logits."""
    if not (isinstance(logits, torch.Tensor) and logits.dim() == 2 and len(logits) == count
            and logits.shape[1] > 0):
        raise ValueError(f"the network must return logits, a tensor (N, num_classes) with N = {count}, "
                         f"got {describe(logits)}")
    return logits


def check_classes(labels, num_classes):
    """Raises ValueError unless each label is one of the classes that the network can answer."""
    low, high = (bound.item() for bound in labels.aminmax())
    if not 0 <= low <= high < num_classes:
        raise ValueError(f"expected labels from 0 to {num_classes - 1}, because the network answers "
                         f"{num_classes} classes, found labels from {low} to {high}")


def check_processed(images):
    """Raises ValueError for pixels so far from [0, 1] that no perturbation brings them there."""
    low, high = (bound.item() for bound in images.aminmax())
    if not -1 < low <= high < 2:
        raise ValueError("images must have pixels in [0, 1], or less than 1 away from it if they are "
                         f"processed, found values from {low:g} to {high:g}: divide 8-bit pixels by 255, "
                         "and leave normalization to the network")


def check_split(split):
    """Raises ValueError unless there is something to measure: images, and a label for each."""
    if len(split.images) == 0:
        raise ValueError("the split holds no image: there is nothing to measure")
    check_labels(split.labels, len(split.images))


@contextlib.contextmanager
def with_gradients():
    """Gradients are recorded inside, whatever is set around it: an attack may run in ``torch.no_grad()``."""
    with torch.inference_mode(False), torch.enable_grad():
        yield
