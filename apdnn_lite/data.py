"""Image sets as tensors: MNIST, Fashion-MNIST, CIFAR-10 and a reader's own images.

Every loader here returns a :class:`Dataset` with three splits. Pixels are float32 in [0, 1]; the
validation split is cut from the official training set by a fixed seed, and the official test set
is used for nothing but the last measurement.

Sets: MNIST (LeCun et al., 1998), Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), CIFAR-10
(Krizhevsky, 2009).
"""

import gzip
import hashlib
import io
import os
import struct
import tarfile
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ._torchvision import import_torchvision

SPLIT_SEED = 2018         # which training images are held out for validation
VALIDATION_IMAGES = 5000  # of the official training images
MINI_PER_CLASS = {"train": 1000, "validation": 200, "test": 200}
ASSETS = Path(__file__).parent / "assets"
MINI_FILE = ASSETS / "fashion_mnist_mini.npz"
MINI_SHA256 = "a1290db9269dc73e4f9b0ce936984e011282bef58b3e8c1d3960eb1313efe579"

DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat",
           "sandal", "shirt", "sneaker", "bag", "ankle boot")
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLASSES = {"mnist": DIGITS, "fashion_mnist": CLOTHES, "cifar10": OBJECTS, "cifar10_jpeg": OBJECTS}
# Not CIFAR-10 but a copy of it whose pictures were encoded again as JPEG (quality 75), for those who have this archive.
# Its pixels are others, and so are all figures measured on it: it goes by a name of its own.
JPEG_ARCHIVE = "cifar10-jpeg.tar.gz"
JPEG_SHA256 = "00a78acaf3d7c27307ba029958650e48cba76f3704c03e4cd1dd6bf77963ed47"
TORCHVISION_NAME = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10"}

# SHA-256 of the four IDX files, unpacked, in the order train images, train labels, test images, test labels.
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
             "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
IDX_SHA256 = {
    "mnist": ("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
              "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
              "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
              "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    "fashion_mnist": ("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                      "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                      "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                      "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}


class DataError(ValueError):
    """Something is wrong with the data; the message says what was expected and what was found."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels.

    images: (N, C, H, W) float32, pixels in [0, 1].
    labels: (N,) int64.
    indices: (N,) int64, each image's place in the official training or test set.
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        """A smaller split: ``split[:100]``, ``split[split.labels == 3]``, ``split[[4, 8]]``."""
        return Split(self.images[index], self.labels[index], self.indices[index])

    def __repr__(self):
        return f"Split({len(self):,} images of {'×'.join(map(str, self.images.shape[1:]))})"

    def to(self, device):
        """The same split with its tensors on ``device``."""
        return Split(self.images.to(device), self.labels.to(device), self.indices.to(device))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits of one image set, checked when it is made.

    Raises :class:`DataError` if images are not square and N×C×H×W, if a pixel lies outside [0, 1],
    or if a label names no class.
    """

    name: str
    size: str
    classes: tuple
    train: Split
    validation: Split
    test: Split

    def __post_init__(self):
        for part in ("train", "validation", "test"):
            check_split(getattr(self, part), len(self.classes), f"{self.name}, {part} split")

    def __repr__(self):
        channels, height, width = self.train.images.shape[1:]
        return (f"Dataset({self.name!r}, size={self.size!r}: {len(self.train):,} training, "
                f"{len(self.validation):,} validation, {len(self.test):,} test images of "
                f"{channels}×{height}×{width}, {len(self.classes)} classes)")

    def to(self, device):
        """The same set with every tensor on ``device``."""
        return replace(self, train=self.train.to(device), validation=self.validation.to(device),
                       test=self.test.to(device))

    @cached_property
    def sha256(self):
        """A checksum over the pixels and labels of all three splits, for records of runs."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for tensor in (split.images, split.labels):
                digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()


def check_split(split, num_classes, where):
    """Raise :class:`DataError` unless ``split`` holds images and labels as this book uses them."""
    images, labels = split.images, split.labels
    if not isinstance(images, torch.Tensor) or images.ndim != 4:
        raise DataError(f"{where}: images must be a tensor of shape (N, C, H, W), "
                        f"found {tuple(getattr(images, 'shape', ())) or type(images).__name__}.")
    if images.dtype != torch.float32:
        raise DataError(f"{where}: images must be float32 with pixels in [0, 1], found {images.dtype}. "
                        "Divide 8-bit pixels by 255.")
    if images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3]:
        hint = " They look channels-last: permute them to (N, C, H, W)." if images.shape[3] in (1, 3) else ""
        raise DataError(f"{where}: images must be square with 1 or 3 channels, (N, C, H, W), "
                        f"found {tuple(images.shape)}.{hint}")
    if len(images) == 0:
        raise DataError(f"{where}: there are no images.")
    low, high = images.min().item(), images.max().item()
    if not (0 <= low and high <= 1):  # also refuses NaN
        raise DataError(f"{where}: pixels must lie in [0, 1], found values from {low:g} to {high:g}. "
                        "Networks of this book normalize inside themselves: pass pixels, not normalized values.")
    if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
        raise DataError(f"{where}: labels must be int64 of shape ({len(images)},), "
                        f"found {labels.dtype} of shape {tuple(labels.shape)}.")
    low, high = labels.min().item(), labels.max().item()
    if not (0 <= low and high < num_classes):
        raise DataError(f"{where}: labels must lie in 0 … {num_classes - 1} ({num_classes} classes), "
                        f"found {low} … {high}.")


def load(name, size="mini", device="cpu"):
    """Load one of the sets as tensors on ``device``.

    name: "mnist", "fashion_mnist" or "cifar10"; "cifar10_jpeg" is a copy that not everybody has.
    size: "mini" is 10,000 training, 2,000 validation and 2,000 test images, the same number of each
        class; that of Fashion-MNIST comes with the package. "full" is the whole set: 5,000 of its
        training images are the validation split. The mini splits are parts of the full ones.

    A full set is looked for in the folder named by the environment variable ``APDNN_DATA``, in the
    user's cache folder and in ``/usr/share/datasets``; where it is in none of them, torchvision
    downloads it into the cache folder. Checksums are verified before use.

    Raises :class:`DataError` for an unknown name or size, a damaged file, or a set that is nowhere
    to be had.
    """
    if name not in CLASSES:
        raise DataError(f"unknown data set {name!r}: expected one of {', '.join(map(repr, CLASSES))}. "
                        "For your own images use from_folder or from_arrays.")
    if size not in ("mini", "full"):
        raise DataError(f"unknown size {size!r}: expected 'mini' or 'full'.")
    if (name, size) == ("fashion_mnist", "mini"):
        return read_mini().to(device)
    full = load_full(name)
    return (full if size == "full" else cut_mini(full)).to(device)


# ---- the subset that comes with the package

def read_mini(path=None):
    """The subset of Fashion-MNIST in ``path`` (by default the one shipped with the package)."""
    path = MINI_FILE if path is None else Path(path)
    content = read_checked(path, MINI_SHA256)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        splits = {part: make_split(arrays[f"{part}_images"], arrays[f"{part}_labels"], arrays[f"{part}_indices"])
                  for part in MINI_PER_CLASS}
    return Dataset("fashion_mnist", "mini", CLOTHES, **splits)


def cut_mini(full):
    """The mini set of a full one: of each split the first images of each class, in the split's order."""
    splits = {}
    for part, per_class in MINI_PER_CLASS.items():
        split = getattr(full, part)
        chosen = torch.cat([torch.nonzero(split.labels == label).flatten()[:per_class]
                            for label in range(len(full.classes))])
        splits[part] = split[chosen.sort().values]
    return replace(full, size="mini", **splits)


# ---- the full sets

def load_full(name):
    """The whole set ``name``, from the first place that has it."""
    looked_in = []
    for place in places(name):
        arrays = read_full(name, place)
        if arrays is not None:
            return split_full(name, *arrays)
        looked_in.append(str(place))
    if name == "cifar10_jpeg":
        raise DataError("cifar10_jpeg (size 'full') was not found.\nLooked for:\n"
                        + "".join(f"  {place}\n" for place in looked_in) +
                        f"It cannot be downloaded. Put {JPEG_ARCHIVE} into a folder and set the environment variable "
                        "APDNN_DATA to that folder, or use 'cifar10', the original.")
    cache = cache_folder()
    try:
        getattr(import_torchvision().datasets, TORCHVISION_NAME[name])(cache, download=True)
        arrays = read_full(name, cache / relative_folder(name))
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} (size 'full') was not found and could not be downloaded ({error}).\n"
            "Looked in:\n" + "".join(f"  {place}\n" for place in looked_in) +
            "Ways to get it: connect to the internet and call load again; or put torchvision's folder "
            f"{str(relative_folder(name))!r} into a folder and set the environment variable APDNN_DATA to that "
            "folder" + ("; or install Debian's package dataset-fashion-mnist" if name == "fashion_mnist" else "") +
            ". Without it, load('fashion_mnist', size='mini') needs no network.") from error
    return split_full(name, *arrays)


def cache_folder():
    """Where downloads are kept, by the conventions of the operating system."""
    from platformdirs import user_cache_path
    return user_cache_path("apdnn_lite")


def relative_folder(name):
    """Where torchvision keeps a set below its root."""
    return Path("cifar-10-batches-py") if name == "cifar10" else Path(TORCHVISION_NAME[name]) / "raw"


def places(name):
    """The folders in which the full set may lie, in the order in which they are tried."""
    roots = [Path(os.environ["APDNN_DATA"])] if os.environ.get("APDNN_DATA") else []
    if name == "cifar10_jpeg":
        return [root / JPEG_ARCHIVE for root in [*roots, cache_folder()]]
    folders = [root / relative_folder(name) for root in [*roots, cache_folder()]]
    system = relative_folder(name) if name == "cifar10" else name.replace("_", "-")
    return [*folders, Path("/usr/share/datasets") / system]


def read_full(name, folder):
    """Train images, train labels, test images, test labels as uint8 arrays; None if ``folder`` has no such set."""
    if name == "cifar10":
        return read_cifar10(folder)
    if name == "cifar10_jpeg":
        return read_jpeg_archive(folder) if folder.exists() else None
    found = [next((path for path in (folder / file, folder / f"{file}.gz") if path.exists()), None)
             for file in IDX_FILES]
    if not any(found):
        return None
    if not all(found):
        missing = [file for file, path in zip(IDX_FILES, found) if path is None]
        raise DataError(f"{folder} holds only a part of {name}: missing {', '.join(missing)} "
                        "(unpacked or as .gz). Complete the folder, or remove what is in it and load again.")
    return [read_idx(path, sha256) for path, sha256 in zip(found, IDX_SHA256[name])]


def read_checked(path, sha256, unpack=True):
    """The bytes of a file, unpacked if it is a .gz, if they have the expected checksum."""
    try:
        content = gzip.decompress(path.read_bytes()) if unpack and path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is truncated or no gzip file ({error}). Remove it and load again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(f"{path} is truncated or altered: expected SHA-256 {sha256}, found {found} "
                        f"({len(content):,} bytes). Remove the file and load again.")
    return content


def read_idx(path, sha256):
    """An array from a file in the IDX format of the MNIST authors: a magic number, the sizes, the bytes."""
    content = read_checked(path, sha256)
    dimensions = content[3]
    shape = struct.unpack(f">{dimensions}I", content[4:4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def read_cifar10(folder):
    """CIFAR-10 through torchvision, which verifies the checksum of every file first."""
    if not folder.is_dir():
        return None
    try:
        parts = [import_torchvision().datasets.CIFAR10(folder.parent, train=train) for train in (True, False)]
    except RuntimeError as error:
        raise DataError(f"{folder} is incomplete or altered (torchvision: {error}). "
                        "Remove the folder and load again.") from error
    return [array for part in parts
            for array in (part.data.transpose(0, 3, 1, 2), np.array(part.targets, np.uint8))]


def read_jpeg_archive(path):
    """The JPEG copy of CIFAR-10: ``train/<class>/NNNN.jpg`` and ``test/…`` in one archive, in the order of the names."""
    from PIL import Image
    content = read_checked(path, JPEG_SHA256, unpack=False)
    pictures = {"train": [], "test": []}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            if member.isfile():
                part, kind, _ = member.name.split("/")
                pixels = np.asarray(Image.open(archive.extractfile(member)).convert("RGB"))
                pictures[part].append((member.name, OBJECTS.index(kind), pixels))
    arrays = []
    for part in ("train", "test"):
        _, labels, pixels = zip(*sorted(pictures[part], key=lambda each: each[0]))
        arrays += [np.stack(pixels).transpose(0, 3, 1, 2), np.array(labels, np.uint8)]
    return arrays


def split_full(name, train_images, train_labels, test_images, test_labels):
    """Cut the validation split from the official training set."""
    # RandomState and not the newer generator: NumPy guarantees that its stream never changes.
    order = np.random.RandomState(SPLIT_SEED).permutation(len(train_labels))
    held_out, kept = order[:VALIDATION_IMAGES], order[VALIDATION_IMAGES:]
    return Dataset(name, "full", CLASSES[name],
                   train=make_split(train_images[kept], train_labels[kept], kept),
                   validation=make_split(train_images[held_out], train_labels[held_out], held_out),
                   test=make_split(test_images, test_labels, np.arange(len(test_labels))))


def make_split(images, labels, indices):
    """A split from 8-bit images, (N, H, W) or (N, C, H, W), as the files hold them."""
    images = images[:, None] if images.ndim == 3 else images
    return Split(torch.tensor(images).float().div_(255), torch.tensor(labels).long(), torch.tensor(indices).long())


# ---- a reader's own images

def from_arrays(images, labels, classes=None, name="own images", validation=0.1, test=0.2, seed=0, device="cpu"):
    """A data set from arrays or tensors.

    images: (N, C, H, W), uint8 or floating point in [0, 1]; 1 or 3 channels, square.
    labels: (N,) integers from 0.
    classes: the names of the classes; by default the numbers up to the largest label.
    validation, test: shares of the images held out, drawn by ``seed``.

    Raises :class:`DataError` if shapes, pixels or labels are not as said, or a share leaves a split empty.
    """
    images, labels = torch.as_tensor(images), torch.as_tensor(labels)
    if images.ndim != 4:
        raise DataError(f"{name}: images must be of shape (N, C, H, W), found {tuple(images.shape)}. "
                        "Grey images of shape (N, H, W) need images[:, None].")
    if labels.shape != images.shape[:1]:
        raise DataError(f"{name}: expected one label for each of {len(images)} images, "
                        f"found labels of shape {tuple(labels.shape)}.")
    if labels.is_floating_point() or labels.is_complex():
        raise DataError(f"{name}: labels must be integers, found {labels.dtype}.")
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise DataError(f"{name}: validation and test are shares of the images, above 0 and together below 1; "
                        f"found {validation} and {test}.")
    images = images.float().div(255) if images.dtype == torch.uint8 else images.float()
    labels = labels.long()
    order = torch.from_numpy(np.random.RandomState(seed).permutation(len(labels)))
    a, b = round(len(order) * test), round(len(order) * (test + validation))
    pick = lambda index: Split(images[index], labels[index], index)  # noqa: E731
    names = classes or [str(label) for label in range(int(labels.max()) + 1 if len(labels) else 0)]
    return Dataset(name, "own", tuple(names), train=pick(order[b:]), validation=pick(order[a:b]),
                   test=pick(order[:a])).to(device)


def from_folder(root, image_size=None, grey=False, name=None, **split):
    """A data set from a tree of pictures, one folder a class: ``root/cat/001.png``.

    image_size: every picture is resized to this many pixels a side; by default pictures must be
        square and of one size already.
    grey: one channel instead of three.
    split: ``validation``, ``test``, ``seed`` and ``device``, as in :func:`from_arrays`.

    Raises :class:`DataError` if there is no such tree, a picture cannot be read, or sizes differ.
    """
    root = Path(root)
    try:
        folder = import_torchvision().datasets.ImageFolder(root)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{root}: expected one folder of pictures for each class, as in root/cat/001.png "
                        f"({error}).") from error
    pictures = [read_picture(path, grey) for path, _ in folder.samples]
    side = image_size or pictures[0].width
    for picture, (path, _) in zip(pictures, folder.samples):
        if not image_size and picture.size != (side, side):
            raise DataError(f"{path} is {picture.width}×{picture.height} pixels: expected {side}×{side}, "
                            "square and all of one size. Pass image_size=… to have them resized.")
    arrays = np.stack([np.asarray(picture.resize((side, side))) for picture in pictures])
    images = arrays[:, None] if grey else arrays.transpose(0, 3, 1, 2)
    return from_arrays(images, folder.targets, folder.classes, name or root.name, **split)


def read_picture(path, grey):
    """One picture, grey or RGB, with 8 bits a channel."""
    from PIL import Image
    try:
        with Image.open(path) as picture:
            return picture.convert("L" if grey else "RGB")
    except OSError as error:
        raise DataError(f"{path} cannot be read as a picture ({error}).") from error
