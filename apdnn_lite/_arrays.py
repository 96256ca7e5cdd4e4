"""A reader's own arrays: made the tensors that the package expects, or refused with a reason.

Nothing here guesses. Where an array could be meant in two ways, a DataError says what was found,
what was expected and how to get there.
"""

import math
import numbers

import numpy as np
import torch

from ._checks import checked_seed, describe
from ._files import DataError


def as_images(values, name):
    """Images (N, C, H, W) as a float32 tensor on the CPU: uint8 values divided by 255, or floats.

    values: an array, a tensor, or a list of either. Raises DataError if they are of another type
    or shape.
    """
    images = _as_tensor(values, f"{name}: images")
    if images.ndim != 4:
        raise DataError(f"{name}: images must be of shape (N, C, H, W), found "
                        f"{tuple(images.shape)}. Gray images of shape (N, H, W) need "
                        "images[:, None].")
    if images.dtype == torch.uint8:
        return images.float().div(255)
    if not images.is_floating_point():
        raise DataError(f"{name}: pixels must be uint8, or floating point in [0, 1], "
                        f"found {images.dtype}. Convert values of 0 … 255 to uint8; divide others "
                        "by the value of white.")
    return images.float()


def as_labels(values, count, name):
    """Labels as an int64 tensor (N,). Raises DataError unless they are ``count`` integers."""
    labels = _as_tensor(values, f"{name}: labels")
    if labels.shape != (count,):
        raise DataError(f"{name}: expected one label for each of {count} images, "
                        f"found labels of shape {tuple(labels.shape)}.")
    if labels.dtype == torch.bool:
        raise DataError(f"{name}: labels must be integers, found {labels.dtype}. If True is class "
                        "1, convert them to integers.")
    if labels.is_floating_point() or labels.is_complex():
        raise DataError(f"{name}: labels must be integers, found {labels.dtype}.")
    return labels.long()


def _as_tensor(values, what):
    """A copy of an array, a tensor, or a list of either, as a tensor on the CPU."""
    try:
        if isinstance(values, torch.Tensor):
            return values.detach().cpu().clone()
        if isinstance(values, list | tuple) and any(map(torch.is_tensor, values)):
            return torch.stack([torch.as_tensor(each).detach().cpu() for each in values])
        array = np.asarray(values)
        if array.dtype.kind not in "biufc":
            hint = (" Number them: names, labels = numpy.unique(labels, return_inverse=True), "
                    "and pass classes=names." if array.dtype.kind in "US" else "")
            raise DataError(f"{what} must be numbers, found {array.dtype}.{hint}")
        # Native byte order and positive strides are what torch can take.
        return torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))
    except DataError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{what} must be one array, one tensor, or a list of arrays or tensors of "
                        f"one shape ({error}).") from error


def numbered_classes(labels, where):
    """The numbers from 0 to the largest label, as names of classes."""
    largest = int(labels.max()) if len(labels) else 0
    if largest >= max(len(labels), 1):
        raise DataError(f"{where}: labels must number the classes from 0; the largest of "
                        f"{len(labels)} is {largest}. Renumber them by numpy.unique(labels, "
                        "return_inverse=True).")
    return [str(number) for number in range(max(largest, 0) + 1)]


def class_names(classes, where):
    """Names of classes as a tuple of strings. Raises DataError unless each is named once."""
    try:
        names = None if isinstance(classes, str) else tuple(str(each) for each in classes)
    except TypeError:
        names = None
    if not names or len(set(names)) < len(names):
        raise DataError(f"{where}: classes must be a list with a name for each class, each name "
                        f"once, found {classes!r}.")
    return names


def check_split(split, num_classes, where):
    """Raise DataError unless a split's images, labels and indices are as this book uses them."""
    try:
        images, labels, indices = split.images, split.labels, split.indices
    except AttributeError:
        raise DataError(f"{where}: expected a Split, found {describe(split)}.") from None
    if not isinstance(images, torch.Tensor) or images.ndim != 4:
        raise DataError(f"{where}: images must be a tensor of shape (N, C, H, W), "
                        f"found {describe(images)}.")
    if images.dtype != torch.float32:
        raise DataError(f"{where}: images must be float32 with pixels in [0, 1], "
                        f"found {images.dtype}. Divide 8-bit pixels by 255.")
    if images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3]:
        hint = (" They look channels-last: permute them to (N, C, H, W)."
                if images.shape[3] in (1, 3) else "")
        raise DataError(f"{where}: images must be square with 1 or 3 channels, (N, C, H, W), "
                        f"found {tuple(images.shape)}.{hint}")
    if images.numel() == 0:
        raise DataError(f"{where}: there are no images.")
    low, high = (bound.item() for bound in images.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        broken = ~images.isfinite().flatten(1)
        first = broken.any(dim=1).nonzero()[0].item()
        raise DataError(f"{where}: pixels must lie in [0, 1], found {broken.sum():,} that are NaN "
                        f"or infinite, the first of them in image {first}.")
    if not 0 <= low <= high <= 1:
        hint = ("Divide pixels of 0 … 255 by 255." if 0 <= low and 1 < high <= 255 else
                "Networks of this book normalize inside themselves: pass pixels, "
                "not normalized values.")
        raise DataError(f"{where}: pixels must lie in [0, 1], "
                        f"found values from {low:g} to {high:g}. {hint}")
    for what, tensor in (("labels", labels), ("indices", indices)):
        if not (isinstance(tensor, torch.Tensor) and tensor.dtype == torch.int64
                and tensor.shape == images.shape[:1]):
            raise DataError(f"{where}: {what} must be int64 of shape ({len(images)},), "
                            f"found {describe(tensor)}.")
    low, high = (bound.item() for bound in labels.aminmax())
    if not 0 <= low <= high < num_classes:
        raise DataError(f"{where}: labels must lie in 0 … {num_classes - 1} "
                        f"({num_classes} classes), found {low} … {high}.")


def draw_splits(count, validation, test, seed, name):
    """The rows of each split of ``count`` images, drawn by ``seed``: {"train": rows, …}.

    validation, test: shares of the rows. Raises DataError if one of them or the seed is impossible,
    or if a split is left without images.
    """
    shares = (validation, test)
    if not (all(isinstance(share, numbers.Real) and 0 < share < 1 for share in shares)
            and sum(shares) < 1):
        raise DataError(f"{name}: validation and test are shares of the images, above 0 and "
                        f"together below 1; found {validation!r} and {test!r}.")
    try:
        order = np.random.RandomState(checked_seed(seed)).permutation(count)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: seed must be a whole number from 0 to 2**32 - 1, "
                        f"found {seed!r}.") from error
    order = torch.from_numpy(order)
    end, begin = round(count * test), round(count * (test + validation))
    rows = {"train": order[begin:], "validation": order[end:begin], "test": order[:end]}
    for part, chosen in rows.items():
        if len(chosen) == 0:
            raise DataError(f"{name}, {part} split: there are no images. Each split needs some of "
                            f"the {count} there are: pass more images or other shares.")
    return rows


def check_trained(labels, trained, classes, name):
    """Raise DataError unless each class that has a name is among the labels in training."""
    counts, left = (torch.bincount(some, minlength=len(classes)) for some in (labels, trained))
    missing = [f"{each!r} ({count} in all)" for each, count, some in
               zip(classes, counts.tolist(), left.tolist(), strict=True) if some == 0]
    if missing:
        raise DataError(f"{name}: no training image is left of class {', '.join(missing)}. Every "
                        "class needs one: pass more images of it, smaller shares or another seed.")
