"""``apdnn check-env``: whether this machine has what the chapters need, in plain words.

A check is a function that returns what is good, and raises :class:`Missing` with what is not and
what to do about it.
"""

import os
import platform
import re
import shutil
import sys
from importlib import metadata

import torch

from .. import data
from .._files import check_writable
from .records import own_folder
from .weights import pretrained

DISTRIBUTION = "apdnn-lite"
OLDEST, NEWEST = (3, 11), (3, 14)  # the versions of Python that the chapters were run with
ENOUGH = 0.8  # of the first 200 test images, by a network that gets about 92% of all of them
IMAGES = 200
# the extras of pyproject.toml, and what a class needs each for; the second is not a must
NEEDED, OPTIONAL = ("", "lab"), ("crypto",)
PURPOSE = {"": "the package needs it", "lab": "the chapters need it in JupyterLab",
           "crypto": "one chapter calls it, and shows recorded runs without it"}


class Missing(Exception):
    """Something is not there or too old; the message says what to do."""


def command(options):
    """Print one line for each check; returns 1 if something that is needed is missing."""
    failed = [name for name, needed, check in checks() if not passes(name, needed, check)]
    if failed:
        print(f"\nMissing: {', '.join(failed)}. The lines above say what to do.")
        return 1
    print("\nEverything that the chapters need is here.")
    return 0


def checks():
    """(name, whether it is needed, function) of every check, in the order of the printed lines."""
    yield "Python", True, python
    for requirement, extra in requirements():
        name = re.match(r"[\w.-]+", requirement)[0]
        yield name, extra in NEEDED, lambda line=requirement, extra=extra: package(line, extra)
    yield "images", True, images
    yield "network", True, network
    yield "own folder", True, folder
    yield "processor", True, processor


def passes(name, needed, check):
    """Run one check and print what came out."""
    try:
        word, text = "good", check()
    except Missing as reason:
        word, text = "MISSING" if needed else "absent", str(reason)
    except Exception as error:  # whatever is broken on this machine: the report has to go on
        word, text = "BROKEN", f"{type(error).__name__}: {error}"
    print(f"{name:16} {word:8} {text}", flush=True)
    return word in ("good", "absent")


# ---- Python and its packages

def python(version=None):
    """This Python, if it is one of those that the book supports."""
    found = tuple(version or sys.version_info)[:2]
    if not OLDEST <= found:
        raise Missing(f"this is Python {dotted(found)}; the book needs {dotted(OLDEST)} or newer. "
                      "Install one, and make a virtual environment with it.")
    untried = "" if found <= NEWEST else f" (newer than {dotted(NEWEST)}, the last one tried)"
    return f"{platform.python_version()}{untried}, {sys.executable}"


def requirements():
    """(requirement, extra) of the package and of the extras that a class needs."""
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield DISTRIBUTION, ""
        return
    for line in lines:
        requirement, _, condition = line.partition(";")
        extra = re.search(r"extra == ['\"](\w+)['\"]", condition)
        if (name := extra[1] if extra else "") in (*NEEDED, *OPTIONAL):
            yield requirement.strip(), name


def package(requirement, extra):
    """The installed version of a package, if it is there and fits the requirement."""
    name = re.match(r"[\w.-]+", requirement)[0]
    install = f'Install it: "{sys.executable}" -m pip install "{requirement}"'
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        raise Missing(f"not installed; {PURPOSE[extra]}. {install}") from None
    if not fits(found, requirement[len(name):]):
        raise Missing(f"version {found} does not fit {requirement}. {install}")
    return found


def fits(version, bounds):
    """Whether a version fits bounds such as ``>=4.4,<4.6``; only these two kinds are known."""
    for bound in filter(None, bounds.split(",")):
        sign, _, limit = re.match(r"\s*(>=|<)(\s*)(\S+)", bound).groups()
        if (numbers(version) >= numbers(limit)) != (sign == ">="):
            return False
    return True


def numbers(version):
    """(2, 13) of "2.13.0+cpu": its numbers, without the zeros at its end."""
    found = [int(part) for part in re.match(r"\d+(?:\.\d+)*", version)[0].split(".")]
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def dotted(version):
    """(3, 11) as it is written."""
    return ".".join(map(str, version))


# ---- what the package brings, and the machine

def images():
    """The images that come with the package, verified by their checksum."""
    found = data.load("fashion_mnist").test
    return f"Fashion-MNIST, the small part, {len(found):,} test images"


def network():
    """A shipped network with its key and without, on a few test images."""
    net, key, _ = pretrained("fashion_mnist", "resnet20", "fixed")
    few = data.load("fashion_mnist").test[:IMAGES]
    with torch.inference_mode():
        right = {name: (net(pixels).argmax(1) == few.labels).float().mean().item()
                 for name, pixels in (("with", key(few.images)), ("without", few.images))}
    if right["with"] < ENOUGH:
        raise Missing(f"a network that comes with the package gets {right['with']:.0%} of "
                      f"{IMAGES} images with its key; expected at least {ENOUGH:.0%}. Install the "
                      "package again.")
    return f"right on {right['with']:.0%} with its key, on {right['without']:.0%} without"


def folder():
    """Where your own records go, if it can be written."""
    where = own_folder()
    try:
        check_writable(where)
    except OSError as error:
        raise Missing(f"cannot be written: {where} ({error.strerror}). Commands that record runs "
                      "need --folder with another one.") from None
    return f"{where}, {shutil.disk_usage(where).free / 1e9:.0f} GB free"


def processor():
    """The cores that torch uses, and a graphics card if there is one."""
    card = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{os.cpu_count()} cores, {torch.get_num_threads()} threads in torch{card}"
