"""Where files lie, and how they are written: as a whole or not at all."""

import hashlib
import os
import uuid
from pathlib import Path

import platformdirs

ASSETS = Path(__file__).parent / "assets"  # what comes with the package; only read


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


def write_whole(path, content):
    """Write bytes to a file, which is replaced as a whole or not at all; its folder is made.

    Each writer has a part file of its own, so that two processes never mix; it is removed if
    anything fails. Raises OSError, as open() does.
    """
    path = at_home(path)
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
