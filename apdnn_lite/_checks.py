"""What an argument must be, said once: every public function refuses bad input in the same words.

Each message says what was wrong, what was expected and, where it helps, what to do.
"""

import math
import numbers

import numpy as np
import torch


def whole_number(name, value, least=1, most=math.inf):
    """``value`` as an int; raises ValueError unless it is a whole number, ``least`` to ``most``."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        bounds = f"{least} or more" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number, {bounds}, got {value!r}")
    return int(value)


def network_sizes(in_channels, num_classes):
    """Both as an int; raises ValueError unless each is a whole number, 1 or more."""
    return whole_number("in_channels", in_channels), whole_number("num_classes", num_classes)


def real_number(name, value, low=0.0, high=math.inf, *, above=False, unit=""):
    """``value`` as a float; raises ValueError unless it is finite and ``low`` ≤ value ≤ ``high``.

    above: ``low`` itself is refused, too. unit: for the message, such as ", in pixels of [0, 1]".
    """
    if isinstance(value, torch.Tensor | np.ndarray) and math.prod(value.shape) == 1:
        value = value.item()
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        number = float(value) if is_number else math.nan
    except OverflowError:  # an int that no float can hold
        number = math.inf
    if not (math.isfinite(number) and low <= number <= high) or (above and number == low):
        bounds = [f"{'above' if above else 'at least'} {low:g}"] if low > -math.inf else []
        bounds += [f"at most {high:g}"] if high < math.inf else []
        wanted = f"a finite number {' and '.join(bounds)}".strip()
        raise ValueError(f"{name} must be {wanted}{unit}, got {value!r}")
    return number


def yes_or_no(name, value):
    """``value`` as a bool; raises ValueError for anything else: the text "False" is true."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def one_of(name, value, choices):
    """``value``, which must be among the names ``choices``; raises ValueError that lists them."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"unknown {name} {value!r}: expected one of {', '.join(choices)}")
    return value


def checked_seed(seed):
    """A seed for NumPy: None, an int or a SeedSequence.

    A SeedSequence may come as :func:`plain_seed` writes it. Raises ValueError for anything else.
    """
    if seed is None or isinstance(seed, np.random.SeedSequence):
        return seed
    if isinstance(seed, dict):
        try:
            if seed["entropy"] is not None:  # which would draw another one
                return np.random.SeedSequence(**seed)
        except (KeyError, TypeError, ValueError):
            pass
        raise ValueError("seed must hold the entropy and the spawn_key of a NumPy SeedSequence, "
                         f"got {seed!r}")
    return whole_number("seed", seed, least=0)


def plain_seed(seed):
    """A checked seed as JSON: a SeedSequence becomes {"entropy": …, "spawn_key": […]}."""
    if not isinstance(seed, np.random.SeedSequence):
        return seed
    one = isinstance(seed.entropy, numbers.Integral)
    entropy = int(seed.entropy) if one else [int(word) for word in seed.entropy]
    pool = {"pool_size": seed.pool_size} if seed.pool_size != 4 else {}  # 4 is usual
    return {"entropy": entropy, "spawn_key": [int(key) for key in seed.spawn_key], **pool}


def strength(name, value):
    """A factor or a size in pixels of [0, 1] as a float; raises ValueError unless 0 < value ≤ 100.

    Pixels span 1: anyone who asks for more has mistaken the unit."""
    return real_number(name, value, high=100.0, above=True)


def checked_shape(shape):
    """(C, H, W) of images as a tuple of int; raises ValueError if ``shape`` is none."""
    try:
        sizes = tuple(whole_number("size", size) for size in shape)
    except (TypeError, ValueError):
        sizes = ()
    if len(sizes) != 3:
        raise ValueError("shape must be (channels, height, width), three positive integers, "
                         f"got {shape!r}")
    return sizes


def check_input(x, shape, what):
    """Raises ValueError unless x holds float images (N, C, H, W) of the shape that is needed.

    shape: (C, H, W), None for any size. what: "transform" or "network", for the message.
    No value is read, so that nothing waits for a graphics card.
    """
    if not isinstance(x, torch.Tensor) or x.dim() != 4 or any(
            size not in (None, found) for size, found in zip(shape, x.shape[1:], strict=True)):
        sizes = ", ".join(str(size or name) for name, size in zip("CHW", shape, strict=True))
        found = tuple(x.shape) if isinstance(x, torch.Tensor) else describe(x)
        raise ValueError(f"this {what} is for images of shape (N, {sizes}), got {found}")
    if not x.is_floating_point():
        raise ValueError(f"this {what} takes floating-point pixels in [0, 1], got {x.dtype}: "
                         "divide 8-bit pixels by 255, as images.float() / 255")


def describe(value):
    """What a wrong argument is, for a message: shape and type of a tensor, or the type's name."""
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
        raise ValueError(f"{name} must be raw, with pixels in [0, 1], "
                         f"found values from {low:g} to {high:g}")


def check_is_split(split):
    """Raises ValueError unless ``split`` holds images and labels, as a ``Split`` does."""
    if not hasattr(split, "images") or not hasattr(split, "labels"):
        raise ValueError("expected a Split, which holds images and their labels, such as "
                         f"ap.load(\"mnist\").train; got {describe(split)}")


def check_covers(images, **parts):
    """Raises ValueError unless each is a number, or has the height and width of the images."""
    for name, part in parts.items():
        if isinstance(part, torch.Tensor) and part.shape[-2:] != images.shape[-2:]:
            raise ValueError(f"{name} must be a number, or as high and wide as the images, "
                             f"{tuple(images.shape[-2:])}, got {describe(part)}")


def check_untouched(before, after):
    """Raises ValueError if a transform has changed the images that it was given."""
    if not torch.equal(before, after):
        raise ValueError("the transform writes into the images that it is given, so nothing raw is "
                         "left of them: expected a new tensor, as from x + key instead of x += key")


def check_floats(name, tensor, shape):
    """The shape of a float tensor; raises ValueError unless it is as ``shape`` says.

    shape: a number for a size that must be so, a text for any size from 1 up, as in ("N", 10).
    """
    fits = isinstance(tensor, torch.Tensor) and tensor.dim() == len(shape) and all(
        found >= 1 if isinstance(size, str) else found == size
        for size, found in zip(shape, tensor.shape, strict=True))
    if not fits or not tensor.is_floating_point():
        raise ValueError(f"{name} must be a floating-point tensor of shape "
                         f"({', '.join(map(str, shape))}), got {describe(tensor)}")
    return tensor.shape


def check_labels(labels, count, name="labels", num_classes=None):
    """Raises ValueError unless ``labels`` is an int64 tensor (N,) with N = ``count``.

    num_classes: each must name a class, too. This is looked at on the CPU alone: a graphics card
    would have to be waited for, and refuses such labels itself.
    """
    if not isinstance(labels, torch.Tensor) or tuple(labels.shape) != (count,):
        raise ValueError(f"{name} must be a tensor with one label for each of {count} images, "
                         f"got {describe(labels)}")
    if labels.dtype != torch.int64:
        raise ValueError(f"{name} must be of type torch.int64, got {labels.dtype}: "
                         "convert them by labels.long()")
    if num_classes is not None and labels.device.type == "cpu" and count:
        low, high = (bound.item() for bound in labels.aminmax())
        if not 0 <= low <= high < num_classes:
            raise ValueError(f"{name} must lie in 0 … {num_classes - 1}, "
                             f"as the network has {num_classes} classes; found {low} … {high}")


def check_candidates(transforms, scores):
    """Raises ValueError unless there is a transform to try, and a score for each."""
    if len(transforms) < 1:
        raise ValueError("expected at least one candidate to try, got none")
    if len(transforms) != len(scores):
        raise ValueError("expected one score for each candidate, "
                         f"got {len(transforms)} candidates and {len(scores)} scores")
