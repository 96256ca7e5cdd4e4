"""How a run was made: versions, machine and the commit of the code, for the "how" of a record."""

import os
import platform
import re
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGE = Path(__file__).resolve().parent.parent


def environment():
    """Package versions, machine and commit, as a dict."""
    kept = in_own_repository()
    commit = git("rev-parse", "HEAD") if kept else archived_commit()
    changes = git("status", "--porcelain", "--", ".", ":!assets") if kept else None  # of the code
    return {
        "versions": {"python": platform.python_version(), "torch": torch.__version__,
                     "numpy": version("numpy")},
        "processor": processor_name(), "threads": torch.get_num_threads(), "commit": commit or None,
        "uncommitted_changes": None if changes is None else bool(changes),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def archived_commit():
    """The commit that ``git archive`` wrote into its copy of the code; None anywhere else."""
    file = PACKAGE / "assets" / "commit.txt"
    text = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    return text if re.fullmatch(r"[0-9a-f]{40}", text) else None


def in_own_repository():
    """Whether git keeps the package's code, and in a repository of the package's own.

    An installed package may lie inside somebody else's repository, whose commit says nothing of it.
    """
    top = git("rev-parse", "--show-toplevel")
    kept = git("ls-files", "--", "__init__.py")
    return bool(top and kept) and Path(top).resolve() == PACKAGE.parent


def git(*command):
    """What a git command about the package's folder prints; None if there is no git or it fails."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(("git", "-C", str(PACKAGE), *command), capture_output=True, text=True,
                              env=settings)
    except OSError:  # not every machine has git
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def processor_name():
    """The processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines
                    if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def device_name(device):
    """A device's name as records have it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
