"""What is looked at before training begins, and the bar that shows it going on."""

import shutil
import sys

import torch
from tqdm import tqdm

from ._checks import check_images, check_is_split, check_labels, check_untouched, describe
from ._machine import check_module, device_of, try_network


def check_task(net, train, validation, transform=None):
    """The memory layout in which ``net`` can be trained on these splits.

    Raises ValueError, before anything changes, if a split is empty or holds no raw images and
    labels, if network or transform do not take such images, if a label has no logit, or if nothing
    can be trained.
    """
    check_module(net)
    for name, split in (("training", train), ("validation", validation)):
        check_is_split(split)
        if len(split) == 0:
            raise ValueError(f"the {name} split is empty: expected at least one image")
        check_images(split.images, f"the {name} images")
        check_labels(split.labels, len(split), f"the {name} labels")
    if train.images.shape[1:] != validation.images.shape[1:]:
        raise ValueError(f"training images of shape {tuple(train.images.shape[1:])} and "
                         f"validation images of shape {tuple(validation.images.shape[1:])}: "
                         "expected one shape")
    modules = [module for module in (net, transform) if module is not None]
    if not any(parameter.requires_grad for module in modules for parameter in module.parameters()):
        raise ValueError("nothing can be trained: no parameter of the network or the transform "
                         "requires a gradient")
    images = train.images[:2]
    if transform is not None:
        given = images.to(device_of(transform), copy=True)
        with torch.no_grad():
            images = transform(given)
        check_untouched(train.images[:2].to(given), given)
        if images.shape != train.images[:2].shape:
            raise ValueError("the transform turns images of shape "
                             f"{tuple(train.images.shape[1:])} into {describe(images)}: "
                             "expected the same shape")
    layout, logits = try_network(net, images)
    highest = max(int(train.labels.max()), int(validation.labels.max()))
    lowest = min(int(train.labels.min()), int(validation.labels.min()))
    if lowest < 0 or highest >= logits.shape[1]:
        raise ValueError(f"the network has {logits.shape[1]} logits, for labels from 0 to "
                         f"{logits.shape[1] - 1}; the splits have labels from {lowest} to "
                         f"{highest}")
    return layout


def progress_bar(epochs, batches, done, shown):
    """A bar over all batches, those of ``done`` epochs done already; no wider than the terminal."""
    width = min(90, shutil.get_terminal_size((90, 24)).columns)
    return tqdm(total=epochs * batches, initial=done * batches, unit="batch", disable=not shown,
                desc=f"epoch {min(done + 1, epochs)}/{epochs}", ncols=width, mininterval=0.5,
                file=sys.stdout)  # a notebook shows standard error in red
