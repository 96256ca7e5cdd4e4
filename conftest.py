"""What all tests share: a small machine, no network, and an order.

Unit tests live in tests/, notebooks in book/; pyproject.toml says how pytest runs
them. This file is imported before any of them, and before torch is.
"""

import os
import random
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
OFFLINE = ROOT / "tests" / "offline"
MANY = 10  # tests of a file that open pages

# One thread per process. pytest runs two workers, each with the kernel of a
# notebook; with as many threads as cores each, they would fight over the cores,
# and a training cell would take several times as long. The libraries read these
# when they are loaded, so they have to be set before, here and for the kernels,
# which inherit them.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[name] = "1"

# No network: in this process now, in every Python started from it by PYTHONPATH.
# A proxy on this machine would be a way round.
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]
if str(OFFLINE) not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
    paths = [str(OFFLINE), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
runpy.run_path(str(OFFLINE / "sitecustomize.py"))


def pytest_addoption(parser):
    parser.addoption("--order-seed", type=int,
                     help="the seed of an earlier run, to run the unit tests in its order")


def pytest_configure(config):
    # All workers have to agree on the order; they are given the seed below.
    if hasattr(config, "workerinput"):
        config.option.order_seed = config.workerinput["order_seed"]
    elif config.option.order_seed is None:
        config.option.order_seed = random.SystemRandom().randrange(10**6)
    try:
        from hypothesis import settings
    except ImportError:
        return
    # Timings are never tested: on a busy machine an example may take long.
    settings.register_profile("book", deadline=None, print_blob=True)
    settings.load_profile("book")


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_configure_node(node):
    node.workerinput["order_seed"] = node.config.option.order_seed


def pytest_report_header(config):
    return f"unit tests in random order: --order-seed={config.option.order_seed}; network cut off"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """A cell that ran out of time fails, however it ends.

    nbval interrupts such a cell, and calls it passed if the cell handles the interruption and ends
    without an error. ``ap.fit`` does: it keeps what was trained so far.
    """
    before = getattr(item.parent, "timed_out", False)
    yield
    if getattr(item.parent, "timed_out", False) and not before:
        item.raise_cell_error(
            f"Timeout of {item.config.option.nbval_cell_timeout:g} seconds exceeded: the cell was "
            "interrupted, handled that, and ended without an error")


def announced_seconds(path):
    """The running time that a notebook announces at its top; 0 if it does not."""
    text = path.read_text(encoding="utf-8")
    found = re.search(r"Running time\W*(?:about |under )?([\d.]+) *(s|min)", text)
    return float(found[1]) * (60 if found[2] == "min" else 1) if found else 0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Notebooks first, the longest first, their cells in order; then the unit tests, shuffled.

    Of the unit tests, files that open many pages in a browser come before the others.
    """
    notebooks = [item for item in items if item.path.suffix == ".ipynb"]
    seconds = {path: announced_seconds(path) for path in {item.path for item in notebooks}}
    notebooks.sort(key=lambda item: (-seconds[item.path], item.path))  # stable: cells stay in order

    # Whole files are shuffled, then the tests in each, so that what a file sets up
    # for all of its tests is set up once.
    shuffle = random.Random(config.option.order_seed).shuffle
    files = {}
    for item in items:
        if item.path.suffix != ".ipynb":
            files.setdefault(item.path, []).append(item)
    order = list(files)
    shuffle(order)
    # They take many minutes, and one worker runs a whole file: if it began last, the other worker
    # would wait for it.
    order.sort(key=lambda path: sum(
        "browser" in getattr(item, "fixturenames", ()) for item in files[path]) < MANY)
    for path in order:
        shuffle(files[path])
    items[:] = notebooks + [item for path in order for item in files[path]]
