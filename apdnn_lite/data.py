"""Image sets as tensors: MNIST, Fashion-MNIST, CIFAR-10 and a reader's own images.

Every loader returns a :class:`Dataset` with three splits. Pixels are float32 in [0, 1].
The validation split is cut from the official training set by a fixed seed, and the
official test set is used for nothing but the last measurement. Where the published
sets lie and how they are read is in ``_sources``; how pictures are, in ``_pictures``.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from . import _arrays, _pictures, _sources
from ._files import DataError, at_home
from ._machine import pick_device

SOURCES, MINI_FILE, places = _sources.SOURCES, _sources.MINI_FILE, _sources.places
CLASSES = {name: source.classes for name, source in SOURCES.items()}
DIGITS, CLOTHES, OBJECTS = _sources.DIGITS, _sources.CLOTHES, _sources.OBJECTS
PARTS = _sources.PARTS


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels.

    images: (N, C, H, W) float32, pixels in [0, 1].
    labels: (N,) int64.
    indices: (N,) int64, each image's place in the official training or test set.

    ``for image, label in split`` and a ``DataLoader(split, batch_size=…)`` work.
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        """A smaller split: split[:100], split[split.labels == 3], split[[4, 8]]."""
        if isinstance(index, np.ndarray):
            index = torch.from_numpy(index.copy())  # torch takes no negative strides
        labels = self.labels[index]
        if labels.ndim != 1:
            raise TypeError(f"a split gives smaller splits, not items, got {index!r}: "
                            "use a slice such as split[3:4], or split.images[3]")
        return Split(self.images[index], labels, self.indices[index])

    def __iter__(self):
        return zip(self.images, self.labels, strict=True)

    def __getitems__(self, indices):
        """The images and labels of one batch: what a DataLoader asks for."""
        return list(self[indices])

    def __repr__(self):
        shape = "×".join(map(str, self.images.shape[1:]))
        return f"Split({len(self):,} images of {shape})"

    def to(self, device):
        """The same split with its tensors on ``device``."""
        device = pick_device(device)
        return Split(*(each.to(device) for each in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits of one image set, checked when it is made.

    Raises :class:`DataError` if images are not square, N×C×H×W and of one size, if a
    pixel lies outside [0, 1], or if a label names no class.
    """

    name: str
    size: str
    classes: tuple
    train: Split
    validation: Split
    test: Split

    def __post_init__(self):
        classes = _arrays.class_names(self.classes, self.name)
        object.__setattr__(self, "classes", classes)
        for part in PARTS:
            split, where = getattr(self, part), f"{self.name}, {part} split"
            _arrays.check_split(split, len(classes), where)
            if split.images.shape[1:] != self.train.images.shape[1:]:
                raise DataError(f"{where}: images must have one size in all splits, "
                                f"found {self.train!r} and {split!r}.")

    def __repr__(self):
        sizes = ", ".join(f"{len(getattr(self, part)):,} {what}" for part, what in
                          zip(PARTS, ("training", "validation", "test"), strict=True))
        shape = "×".join(map(str, self.train.images.shape[1:]))
        return (f"Dataset({self.name!r}, size={self.size!r}: {sizes} images of "
                f"{shape}, {len(self.classes)} classes)")

    def to(self, device):
        """The same set with every tensor on ``device``."""
        return replace(self, **{part: getattr(self, part).to(device) for part in PARTS})

    @cached_property
    def sha256(self):
        """A checksum over the pixels and labels of all splits, for records of runs."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for tensor in (split.images, split.labels):
                digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()


def load(name, size="mini", device="cpu"):
    """Load one of the sets as tensors on ``device``.

    name: "mnist", "fashion_mnist" or "cifar10"; "cifar10_jpeg" is a copy that not
        everybody has.
    size: "mini" is 10,000 training, 2,000 validation and 2,000 test images, the same
        number of each class; that of Fashion-MNIST comes with the package. "full" is
        the whole set: 5,000 of its training images are the validation split. The mini
        splits are parts of the full ones.

    A full set is looked for in the folder that the environment variable ``APDNN_DATA``
    names, in the user's cache folder and in ``/usr/share/datasets``. If it is in none
    of them and ``APDNN_DATA`` is not set, it is downloaded into the cache folder.
    Checksums are verified before anything is used.

    Raises :class:`DataError` for an unknown name or size, a damaged file, or a set that
    cannot be found.
    """
    if name not in tuple(SOURCES):
        known = ", ".join(map(repr, SOURCES))
        raise DataError(f"unknown data set {name!r}: expected one of {known}. "
                        "For your own images use from_folder or from_arrays.")
    if size not in ("mini", "full"):
        raise DataError(f"unknown size {size!r}: expected 'mini' or 'full'.")
    device = pick_device(device)
    arrays = _sources.read_set(name, size)
    splits = {part: Split(torch.tensor(images).float().div_(255),
                          *(torch.tensor(each).long() for each in numbers))
              for part, (images, *numbers) in arrays.items()}
    return Dataset(name, size, SOURCES[name].classes, **splits).to(device)


def from_arrays(images, labels, classes=None, name="own images", validation=0.1,
                test=0.2, seed=0, device="cpu"):
    """A data set from arrays, tensors, or lists of them.

    images: (N, C, H, W), uint8 or floating point in [0, 1]; 1 or 3 channels, square.
    labels: (N,) integers from 0.
    classes: the names of the classes; by default the numbers up to the largest label.
    validation, test: shares of the images held out, drawn by ``seed``.

    Raises :class:`DataError` if shapes, pixels or labels are not as said, or if a split
    is left empty or a class without a training image.
    """
    device = pick_device(device)
    images = _arrays.as_images(images, name)
    labels = _arrays.as_labels(labels, len(images), name)
    classes = _arrays.numbered_classes(labels, name) if classes is None else classes
    rows = _arrays.draw_splits(len(labels), validation, test, seed, name)
    splits = {part: Split(images[index], labels[index], index)
              for part, index in rows.items()}
    own = Dataset(name, "own", classes, **splits)
    _arrays.check_trained(labels, own.train.labels, own.classes, name)
    return own.to(device)


def from_folder(root, image_size=None, gray=False, name=None, **options):
    """A data set from a tree of pictures, one folder a class: ``root/cat/001.png``.

    image_size: every picture is resized to this many pixels a side; by default pictures
        must be square and of one size already.
    gray: one channel instead of three; the British spelling is understood, too.
    name: by default that of the folder.
    options: ``validation``, ``test``, ``seed`` and ``device`` of :func:`from_arrays`.

    Pictures are read as a viewer shows them: turned as their EXIF data says, with
    transparent parts on white, 16 bits scaled to 8. Files and folders whose names begin
    with "." or "__" are skipped, and so are files that are no pictures by their names.

    Raises :class:`DataError` if there is no such tree, a picture cannot be read, or
    sizes differ.
    """
    gray = options.pop("grey", gray)  # codespell:ignore grey
    images, labels, classes = _pictures.read_tree(root, gray, image_size)
    name = name or at_home(root).resolve().name or "own images"
    return from_arrays(images, labels, classes, name, **options)
