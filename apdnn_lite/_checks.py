"""What an argument must be, said once: every public function refuses bad input in the same words.

Each message says what was wrong, what was expected and, where it helps, what to do.
"""

import math
import numbers

import numpy as np
import torch


def whole_number(name, value, least=1):
    """``value`` as an int; raises ValueError unless it is a whole number, ``least`` or more."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be a whole number, {least} or more, got {value!r}")
    return int(value)


def real_number(name, value, low=0.0, high=math.inf, *, above=False, unit=""):
    """``value`` as a float; raises ValueError unless it is finite and ``low`` ≤ value ≤ ``high``.

    above: ``low`` itself is refused, too. unit: for the message, such as ", in pixels of [0, 1]".
    """
    if isinstance(value, torch.Tensor | np.ndarray) and math.prod(value.shape) == 1:
        value = value.item()
    fits = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if not (fits and low <= value <= high) or (above and value == low):
        bound = f"{'above' if above else 'at least'} {low:g}"
        bound += f" and at most {high:g}" if high < math.inf else ""
        raise ValueError(f"{name} must be a finite number {bound}{unit}, got {value!r}")
    return float(value)


def checked_seed(seed):
    """A seed for NumPy: None, a whole number from 0 up or a SeedSequence; else ValueError."""
    if seed is None or isinstance(seed, np.random.SeedSequence):
        return seed
    return whole_number("seed", seed, least=0)


def describe(value):
    """What a wrong argument is, for a message: a tensor's shape and type, or the type's name."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"{type(value).__name__} of shape {tuple(value.shape)} and type {value.dtype}"
    return type(value).__name__


def check_images(images, name="images", *, raw=True):
    """Raises ValueError unless ``images`` is a float tensor (N, C, H, W), N ≥ 1, of finite pixels.

    raw: its pixels must lie in [0, 1], too. Processed images may leave that range.
    """
    if not isinstance(images, torch.Tensor) or images.dim() != 4 or len(images) < 1:
        raise ValueError(f"{name} must be a tensor (N, C, H, W) with N ≥ 1, got {describe(images)}")
    if not images.is_floating_point():
        raise ValueError(f"{name} must hold floating-point pixels in [0, 1], got {images.dtype}: "
                         "divide 8-bit pixels by 255, as images.float() / 255")
    low, high = (bound.item() for bound in images.detach().aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{name} must hold finite pixels, found values from {low:g} to {high:g}")
    if raw and not 0 <= low <= high <= 1:
        raise ValueError(f"{name} must be raw, with pixels in [0, 1], found values from "
                         f"{low:g} to {high:g}")


def check_labels(labels, count, name="labels"):
    """Raises ValueError unless ``labels`` is an int64 tensor (N,) with N = ``count``."""
    if not isinstance(labels, torch.Tensor) or tuple(labels.shape) != (count,):
        raise ValueError(f"{name} must be a tensor with one label for each of {count} images, "
                         f"got {describe(labels)}")
    if labels.dtype != torch.int64:
        raise ValueError(f"{name} must be of type torch.int64, got {labels.dtype}: "
                         "convert them by labels.long()")
