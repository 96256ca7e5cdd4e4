"""Where files lie, how they are read once their checksum is verified, and how they are written.

Files are written as a whole or not at all.
"""

import errno
import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
import uuid
import zlib
from pathlib import Path

import numpy as np
import platformdirs
from PIL import Image

ASSETS = Path(__file__).parent / "assets"  # what comes with the package; only read


class DataError(ValueError):
    """Something is wrong with the data; the message says what was expected and what was found."""


# ---- where files lie

def cache_folder():
    """Where downloads and checkpoints are kept, by the conventions of the operating system."""
    return platformdirs.user_cache_path("apdnn_lite", appauthor=False)


def data_folder():
    """Where a user's own records are kept, by the conventions of the operating system."""
    return platformdirs.user_data_path("apdnn_lite", appauthor=False)


def at_home(path):
    """A path as a Path, its ``~`` replaced by the home folder."""
    return Path(path).expanduser()


def sha256_of(content):
    """The SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


# ---- writing

def write_whole(path, content):
    """Write bytes to a file, which is replaced as a whole or not at all; its folder is made.

    Each writer has a part file of its own, so that two processes never mix; it is removed if
    anything fails. Raises OSError, as open() does.
    """
    path = at_home(path)
    if path.is_dir():
        raise IsADirectoryError(
            errno.EISDIR, "is a folder; give the name of a file in it", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def check_writable(folder):
    """Make ``folder`` and see that a file can be written there; raises OSError, as open() does."""
    folder = at_home(folder)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{uuid.uuid4().hex[:12]}.part"
    try:
        part.touch()
    finally:
        part.unlink(missing_ok=True)


# ---- reading what others published: the checksum first

def verified(content, checksum, where):
    """``content`` itself, if it has the checksum: a SHA-256 or, of 32 digits, an MD5.

    Raises DataError, which names ``where``, if it has another.
    """
    kind = "MD5" if len(checksum) == 32 else "SHA-256"
    found = hashlib.new(kind.replace("-", ""), content, usedforsecurity=False).hexdigest()
    if found != checksum:
        raise DataError(f"{where} is truncated or altered: expected {kind} {checksum}, "
                        f"found {found} ({len(content):,} bytes). Remove the file and load again.")
    return content


def read_verified(path, checksum, *, unpack=True):
    """The bytes of a file, if they have the checksum.

    A .gz is unpacked first, if ``unpack`` is set. Raises DataError, which names the file, if it
    cannot be read, is damaged or is another one.
    """
    try:
        content = path.read_bytes()
        if unpack and path.suffix == ".gz":
            content = gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is truncated or not a gzip file ({error}). "
                        "Remove it and load again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    return verified(content, checksum, path)


def array_from_idx(content):
    """The array in an IDX file of bytes: a magic number, the sizes, then the values."""
    dimensions = content[3]
    shape = struct.unpack(f">{dimensions}I", content[4:4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


# ---- the sets' own formats

def read_idx(folder, checksums):
    """A set in the four IDX files of the MNIST authors, each unpacked or as .gz."""
    found = {name: _spelled(folder, name) for name in checksums}
    missing = [name for name, path in found.items() if path is None]
    if len(missing) == len(found):
        return None
    if missing:
        raise DataError(f"{folder} holds only a part of the set: missing {', '.join(missing)} "
                        "(unpacked or as .gz). Complete the folder, or remove what is in it and "
                        "load again.")
    return [array_from_idx(read_verified(path, checksums[name])) for name, path in found.items()]


def _spelled(folder, name):
    """The file of this name in ``folder``, in one of the spellings it is found in, or None."""
    spellings = (name, name.replace("-idx", ".idx"))
    candidates = [folder / f"{spelling}{end}" for spelling in spellings for end in ("", ".gz")]
    return next((path for path in candidates if os.path.exists(path)), None)


def read_cifar10(path, checksums):
    """CIFAR-10 as its author publishes it: six pickles, in a folder or still in their archive.

    A pickle can run any program when it is opened. So none is opened before all checksums are
    right, and then by :class:`ArraysOnly`.
    """
    if os.path.isfile(path):
        contents = _batches_in_archive(path, checksums)
    else:
        contents = {name: read_verified(path / name, checksum)
                    for name, checksum in checksums.items() if os.path.exists(path / name)}
    missing = [name for name in checksums if name not in contents]
    if len(missing) == len(checksums) and not os.path.isfile(path):
        return None
    if missing:
        raise DataError(f"{path} holds only a part of the set: missing {', '.join(missing)}; "
                        f"expected {', '.join(checksums)}. Complete it, or remove it and load "
                        "again.")
    batches = {name: ArraysOnly(io.BytesIO(content), f"{path}, {name},").load()
               for name, content in contents.items()}
    arrays = []
    for part in ("data", "test"):
        chosen = [batch for name, batch in batches.items() if name.startswith(part)]
        arrays.append(np.concatenate([batch["data"] for batch in chosen]).reshape(-1, 3, 32, 32))
        arrays.append(np.concatenate([batch["labels"] for batch in chosen]).astype(np.uint8))
    return arrays


class ArraysOnly(pickle.Unpickler):
    """Opens a pickle of Python 2 that holds arrays, lists, dicts, text and numbers, nothing else.

    where: the pickle's name, for the DataError that refuses whatever else it names.
    """

    # What NumPy wrote for an array, by its name at that time.
    NEEDED = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}

    def __init__(self, file, where):
        super().__init__(file, encoding="latin1")
        self.where = where

    def find_class(self, module, name):
        """What the pickle names, if an array needs it."""
        if (module, name) not in self.NEEDED:
            raise DataError(f"{self.where} would run {module}.{name} when it is opened: expected "
                            "arrays, lists and text alone. Do not open it; remove the file and "
                            "load again.")
        return super().find_class(module, name)


def _batches_in_archive(path, checksums):
    """The contents of those files of an archive that have a checksum, verified."""
    contents = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if member.isfile() and name in checksums:
                    contents[name] = archive.extractfile(member).read()
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is truncated or not an archive ({error}): expected a tar archive "
                        f"of {', '.join(checksums)}. Remove it and load again.") from error
    # In the order of the table, whatever that of the archive is.
    return {name: verified(contents[name], checksum, f"{path}, {name},")
            for name, checksum in checksums.items() if name in contents}


def read_jpeg_archive(path, checksums):
    """``train/<class>/NNNN.jpg`` and ``test/…`` in one archive, in the order of the names.

    The classes are numbered in the order of their names, too.
    """
    content = read_verified(path, checksums[path.name], unpack=False)
    pictures = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            if member.isfile():
                picture = Image.open(archive.extractfile(member)).convert("RGB")
                pictures[member.name] = np.asarray(picture)
    classes = sorted({name.split("/")[1] for name in pictures})
    arrays = []
    for part in ("train/", "test/"):
        names = sorted(name for name in pictures if name.startswith(part))
        arrays.append(np.stack([pictures[name] for name in names]).transpose(0, 3, 1, 2))
        arrays.append(np.array([classes.index(name.split("/")[1]) for name in names], np.uint8))
    return arrays
