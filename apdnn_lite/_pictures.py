"""A reader's own pictures, read as a viewer shows them, or refused with a reason."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ._checks import whole_number
from ._files import DataError, at_home

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Names of folders that hold a part of a data set, with a folder a class inside, and are no classes.
SPLITS = {"dev", "test", "testing", "train", "training", "val", "valid", "validation"}


# ---- files

def is_hidden(name):
    """Whether a file or folder of this name is no part of a data set.

    These are the names of what JupyterLab (``.ipynb_checkpoints``) and macOS (``._1.png``,
    ``__MACOSX``) leave behind.
    """
    return name.startswith((".", "__"))


def read_tree(root, gray, side):
    """The pictures in a tree with one folder a class: images, labels and the names of the classes.

    images: uint8, (N, 1, H, W) if ``gray``, else (N, 3, H, W). Each is resized when it is read, so
    that large ones never fill the memory. Raises DataError, which names the file, for a picture
    that cannot be read or, without a ``side``, is not as large as the first one and square.
    """
    try:
        side = None if side is None else whole_number("image_size", side)
    except ValueError as error:
        raise DataError(str(error)) from None
    images, labels, tree = [], [], picture_tree(root)
    for label, paths in enumerate(tree.values()):
        for path in paths:
            image = read_picture(path, gray=gray, side=side)
            expected = images[0].shape[0] if images else image.shape[1]
            if image.shape[:2] != (expected, expected):
                raise DataError(f"{path} is {image.shape[1]}×{image.shape[0]} pixels: expected "
                                f"{expected}×{expected}, square and all of one size. "
                                "Pass image_size=… to have them resized.")
            images.append(image)
            labels.append(label)
    stacked = np.stack(images)
    return stacked[:, None] if gray else stacked.transpose(0, 3, 1, 2), labels, list(tree)


def picture_tree(root):
    """The pictures of each class in a tree with one folder a class: {class: [path, …]}, sorted.

    Hidden files and folders are no part of it, nor is a file whose name does not end as that of a
    picture does. Raises DataError if there is no such tree or a class has no picture.
    """
    root = at_home(root)
    expected = "expected one folder of pictures for each class, as in root/cat/001.png"
    try:
        classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
        tree = {name: _pictures_in(root / name) for name in classes if not is_hidden(name)}
    except OSError as error:
        raise DataError(f"{root}: {expected} ({error}).") from error
    empty = [name for name, paths in tree.items() if not paths]
    if not tree or empty:
        what = f"no picture in {', '.join(empty)}" if empty else "there is no folder in it"
        raise DataError(f"{root}: {expected}, with names that end in {', '.join(ENDINGS)}; {what}.")
    names = ", ".join(tree)
    nested = all(path.parent != root / name for name, paths in tree.items() for path in paths)
    if nested and all(name.lower() in SPLITS for name in tree):
        raise DataError(f"{root}: {expected}, and {names} look like splits with the classes "
                        "inside. Pass one of these folders: its pictures are divided into "
                        "training, validation and test images.")
    return tree


def _pictures_in(folder):
    """The pictures in ``folder`` and the folders in it, ordered by folder, then by name."""
    found = []
    for here, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        folders[:] = [name for name in folders if not is_hidden(name)]
        found.append((here, sorted(name for name in names
                                   if name.lower().endswith(ENDINGS) and not is_hidden(name))))
    return [Path(here, name) for here, names in sorted(found) for name in names]


def _raise(error):
    raise error


# ---- one picture

def read_picture(path, *, gray=False, side=None):
    """A picture as it is seen, as 8-bit values: (H, W) if ``gray``, else (H, W, 3).

    It is turned as its EXIF data says, transparent parts are put on white, 16-bit values are scaled
    to 8 bits, and, given a ``side``, it is resized to that many pixels a side. Of an animation this
    is the first frame.

    Raises DataError, which names the file, if it is damaged, too large for Pillow, or holds numbers
    that are no shades (32-bit TIFF).
    """
    try:
        with Image.open(path) as opened:
            picture = eight_bits(ImageOps.exif_transpose(opened), opened.format)
        picture = on_white(picture).convert("RGB")
        picture = picture.convert("L") if gray else picture
        return np.asarray(picture.resize((side, side)) if side else picture)
    except Exception as error:  # Pillow's readers raise whatever damaged bytes lead them to
        raise DataError(f"{path} cannot be read as a picture "
                        f"({error or type(error).__name__}).") from error


def eight_bits(picture, file_format):
    """A picture with 16 bits a value scaled to 8, where Pillow would clip it to white."""
    # Pillow opens 16-bit PGM files in its 32-bit mode "I", scaled to 0 … 65,535.
    if picture.mode.startswith("I;16") or (picture.mode == "I" and file_format == "PPM"):
        values = np.asarray(picture).astype(np.int64)
        shades = (values + 128) // 257  # rounded, and 65,535 is 255
        shades[values == picture.info.get("transparency", -1)] = 255
        return Image.fromarray(shades.astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(f"it has 32 bits a value, mode {picture.mode!r}, and does not say "
                         "which of them is white: save it with 8 or 16 bits")
    return picture


def on_white(picture):
    """A picture without transparency: white shows through where it has any."""
    if not picture.has_transparency_data:
        return picture
    colors = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colors.size, "white"), colors)
