"""The published image sets: where each one lies, how it is read, and how it is had.

All that differs between the sets is in one table, ``SOURCES``. A new set is a new entry; the
loader, the command line and the recorded runs read the table.

Sets: MNIST (LeCun et al., 1998), Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), CIFAR-10
(Krizhevsky, 2009).
"""

import http.client
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ._files import (
    ASSETS,
    DataError,
    at_home,
    cache_folder,
    read_cifar10,
    read_idx,
    read_jpeg_archive,
    read_verified,
)
from ._torchvision import import_torchvision

PARTS = ("train", "validation", "test")
SPLIT_SEED = 2018         # which training images are held out for validation
VALIDATION_IMAGES = 5000  # of the official training images
MINI_PER_CLASS = {"train": 1000, "validation": 200, "test": 200}
MINI_FILE = ASSETS / "fashion_mnist_mini.npz"
MINI_SHA256 = "a1290db9269dc73e4f9b0ce936984e011282bef58b3e8c1d3960eb1313efe579"
SYSTEM = Path("/usr/share/datasets")  # where Debian's packages put them


@dataclass(frozen=True)
class Source:
    """One published image set.

    classes: their names, in the order of the labels.
    shape: of one image, (C, H, W).
    train_images, test_images: how many the official sets hold.
    lies_at: where it may lie in a folder of sets; first where torchvision puts it.
    checksums: of each file, unpacked, by its name: SHA-256, or MD5, by which torchvision knows
        CIFAR-10.
    read: ``read(path, checksums)`` gives train images, train labels, test images and test labels as
        uint8 arrays, or None if the folder ``path`` holds nothing of the set.
    torchvision: the name of the class that downloads it, or "" if nothing does.
    advice: one more way to get it, for the error that says that it is nowhere.
    system: where it lies below ``SYSTEM``, or "".
    """

    classes: tuple
    shape: tuple
    train_images: int
    test_images: int
    lies_at: tuple
    checksums: Mapping
    read: Callable
    torchvision: str = ""
    advice: str = ""
    system: str = ""


# ---- the table

DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat",
           "sandal", "shirt", "sneaker", "bag", "ankle boot")
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

SOURCES = {
    "mnist": Source(
        DIGITS, (1, 28, 28), 60_000, 10_000, lies_at=("MNIST/raw",), read=read_idx,
        torchvision="MNIST", system="mnist",
        checksums={
            "train-images-idx3-ubyte":
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte":
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte":
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte":
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"}),
    "fashion_mnist": Source(
        CLOTHES, (1, 28, 28), 60_000, 10_000, lies_at=("FashionMNIST/raw",), read=read_idx,
        torchvision="FashionMNIST", system="fashion-mnist",
        advice="install Debian's package dataset-fashion-mnist",
        checksums={
            "train-images-idx3-ubyte":
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte":
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte":
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte":
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"}),
    "cifar10": Source(
        OBJECTS, (3, 32, 32), 50_000, 10_000, read=read_cifar10, torchvision="CIFAR10",
        lies_at=("cifar-10-batches-py", "cifar-10-python.tar.gz"), system="cifar-10-batches-py",
        checksums={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e"}),
    # Not CIFAR-10 but a copy whose pictures were encoded again as JPEG (quality 75), for those who
    # have this archive. Its pixels differ, and so do all numbers measured on it.
    "cifar10_jpeg": Source(
        OBJECTS, (3, 32, 32), 50_000, 10_000, lies_at=("cifar10-jpeg.tar.gz",),
        read=read_jpeg_archive, advice="use 'cifar10', the original",
        checksums={
            "cifar10-jpeg.tar.gz":
                "00a78acaf3d7c27307ba029958650e48cba76f3704c03e4cd1dd6bf77963ed47"}),
}


# ---- finding a set

def own_folder():
    """The folder that the environment variable APDNN_DATA names, or None if it is not set.

    Raises DataError if there is no such folder: a misspelt name must not lead to another copy.
    """
    value = os.environ.get("APDNN_DATA", "").strip()
    if not value:
        return None
    folder = at_home(value)
    what = ("does not exist" if not os.path.lexists(folder) else
            "is not a folder" if not os.path.isdir(folder) else
            "may not be read by this user" if not os.access(folder, os.R_OK | os.X_OK) else "")
    if what:
        raise DataError(f"the environment variable APDNN_DATA names {folder}, which {what}. "
                        "Name the folder that holds the sets (such as MNIST/raw in it), or unset "
                        "the variable.")
    return folder


def places(name):
    """The folders and files in which the full set ``name`` may lie, in the order they are tried.

    Raises DataError if APDNN_DATA does not name a folder.
    """
    source, own = SOURCES[name], own_folder()
    roots = [cache_folder()] if own is None else [own, cache_folder()]
    system = [SYSTEM / source.system] if source.system else []
    return [*(root / place for root in roots for place in source.lies_at), *system]


def find(name):
    """Train images, train labels, test images, test labels of a full set, as uint8 arrays.

    If it is in none of its ``places``, torchvision downloads it into the cache folder, unless
    APDNN_DATA names a folder: then that is where it was expected. Raises DataError if it is not
    there, is damaged, or cannot be downloaded.
    """
    source = SOURCES[name]
    for place in places(name):
        arrays = source.read(place, source.checksums) if os.path.exists(place) else None
        if arrays is not None:
            return arrays
    if not source.torchvision:
        raise DataError(nowhere(name, "It cannot be downloaded."))
    if own_folder():
        raise DataError(nowhere(name, "Nothing is downloaded while APDNN_DATA is set; unset it to "
                                      "have the set downloaded into the cache folder."))
    cache = cache_folder()
    try:
        getattr(import_torchvision().datasets, source.torchvision)(cache, download=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(nowhere(name, f"It could not be downloaded ({error}): connect to the "
                                      "internet and call load again.")) from error
    arrays = source.read(cache / source.lies_at[0], source.checksums)
    if arrays is None:
        raise DataError(nowhere(name, "torchvision downloaded it to some other place."))
    return arrays


def nowhere(name, why):
    """The text of the error that says where a set was looked for and what can be done."""
    source, own = SOURCES[name], own_folder()
    lines = [f"{name} (size 'full') was not found.", "Looked for:",
             *(f"  {place}" for place in places(name))]
    if own:
        held = sorted(each.name for each in own.iterdir())
        lines.append(f"APDNN_DATA names {own}, which holds {', '.join(held[:8]) or 'nothing'}"
                     f"{' and more' if len(held) > 8 else ''}.")
    lines += [why, f"Or put {' or '.join(source.lies_at)} into a folder and set the environment "
                   f"variable APDNN_DATA to that folder{source.advice and ', or '}{source.advice}.",
              "Without it, load('fashion_mnist', size='mini') needs no network."]
    return "\n".join(lines)


# ---- its splits

def read_set(name, size):
    """Images, labels and indices of each split of a set: {"train": (images, labels, indices), …}.

    size: "full", or "mini", which has the same number of images of each class.
    """
    if (name, size) == ("fashion_mnist", "mini"):
        parts = read_mini()
    else:
        parts = cut_validation(*find(name))
        parts = parts if size == "full" else cut_mini(parts)
    return {part: (images[:, None] if images.ndim == 3 else images, labels, indices)
            for part, (images, labels, indices) in parts.items()}


def read_mini(path=MINI_FILE):
    """The splits in ``path``, the subset of Fashion-MNIST that comes with the package."""
    content = read_verified(Path(path), MINI_SHA256)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {part: tuple(arrays[f"{part}_{what}"] for what in ("images", "labels", "indices"))
                for part in PARTS}


def cut_validation(train_images, train_labels, test_images, test_labels):
    """The three splits of a full set: validation is cut from the official training set."""
    # RandomState and not the newer generator: NumPy guarantees that its stream never changes.
    order = np.random.RandomState(SPLIT_SEED).permutation(len(train_labels))
    held_out, kept = order[:VALIDATION_IMAGES], order[VALIDATION_IMAGES:]
    return {"train": (train_images[kept], train_labels[kept], kept),
            "validation": (train_images[held_out], train_labels[held_out], held_out),
            "test": (test_images, test_labels, np.arange(len(test_labels)))}


def cut_mini(parts):
    """The mini set of a full one: of each split the first images of each class, in its order."""
    chosen = {}
    for part, (images, labels, indices) in parts.items():
        rows = np.sort(np.concatenate([np.flatnonzero(labels == label)[:MINI_PER_CLASS[part]]
                                       for label in np.unique(labels)]))
        chosen[part] = images[rows], labels[rows], indices[rows]
    return chosen
