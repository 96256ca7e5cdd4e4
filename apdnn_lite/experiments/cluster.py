"""The cells of a table on several workers, by Dask's ``distributed``.

Dask hands each cell to a free worker, and to another one if that worker dies. A worker takes cells,
one at a time, if it has the resource "cell". With ``dask worker ADDRESS --nthreads 4 --resources
cell=1`` it trains with four threads, or on the card that it sees. Only the asking process writes.
"""

import shutil

import torch

from .. import __version__, _files
from .._checks import whole_number
from .._machine import pick_device, pick_precision
from ..training import TrainingError
from .records import Archive, archive_of
from .reproduce import files_of, keep, make_cell, missing_cells, recipe_for, seconds_for

try:
    import dask
    import distributed
except ImportError as error:
    raise ImportError("several workers need Dask's distributed, which is not installed: pip "
                      "install 'distributed>=2026.8'") from error

PATIENCE = 10  # seconds that a scheduler has to answer
ONE = {"cell": 1}  # what a cell takes of a worker
TRIMMED = "distributed.nanny.pre-spawn-environ"  # returning memory at once makes training slow
FILES = sorted(_files.ASSETS.parent.rglob("*.py"))
CODE = "".join(path.read_text(encoding="utf-8") for path in FILES)  # as it was loaded


def make_missing(address, workers, table, names, archive=None, device="auto", epochs=None,
                 draws=100, tries=10, progress=print):
    """Like ``reproduce.make_missing``, with the cells at the workers; yields records as they come.

    address: of a Dask scheduler; None for ``workers`` processes of this machine.
    Where a cell fails, the others are run all the same; then TrainingError names it.
    """
    archive, here, asked, failed = archive_of(archive), address is None, {}, []
    archive.check_writable()
    if not (missing := longest_first(table, missing_cells(table, names, archive))):
        return
    with connected(address, workers) as client:
        expected = same_versions(client)
        for place, name in enumerate(missing):
            files = files_of(name, archive) if table == "table2" else {}
            asked[client.submit(cell, table, name, files, device, recipe_for(name, epochs), draws,
                                tries, expected, here, resources=ONE, priority=-place)] = name
        progress(f"{len(missing)} cells are handed out")
        for done, future in enumerate(distributed.as_completed(asked), 1):
            name = asked[future]
            try:
                made = future.result()
            except Exception as error:  # of the cell, or Dask's, if four workers died of it
                progress(f"{done} of {len(asked)}: {name} failed")
                failed.append(f"{name}: {error}")
            else:
                progress(f"{done} of {len(asked)}: {name}")
                yield keep(table, name, archive, *made)
    if failed:
        raise TrainingError(f"{len(failed)} of {len(missing)} cells failed: {'; '.join(failed)}")


def longest_first(table, names):
    """In this order the workers end at nearly the same time, as short cells fill what is left."""
    return sorted(names, key=lambda name: seconds_for(name, table) or 0, reverse=True)


def cell(table, name, files, device, recipe, draws, tries, expected, here):
    """At a worker: run one cell; returns its record, and the bytes of its weight file or None.

    files: what the process that asks has of the cell; expected: its :func:`versions`; here: whether
    it is on this machine. Finished epochs and attacks stay in the user's cache if a worker dies.
    """
    if (found := versions()) != expected:  # it came after the others were asked
        raise ValueError(f"a worker has {found}, expected {expected}")
    worker = distributed.get_worker()
    torch.set_num_threads(worker.state.nthreads)
    if here and torch.cuda.is_available():
        torch.cuda.set_device(worker.name % torch.cuda.device_count())
    label = "" if here else str(pick_precision(recipe.precision, pick_device(device)))
    archive = Archive(_files.cache_folder() / "cells" / worker.get_current_task())

    def made():
        for file, content in files.items():
            _files.write_whole(archive.path(name).with_name(file), content)
        record = make_cell(table, name, archive, device, recipe, draws, tries, label=label,
                           progress=False)
        weights = archive.weights(name).read_bytes() if "weights" in record["came_out"] else None
        shutil.rmtree(archive.folder, ignore_errors=True)
        return record, weights

    try:
        return made()
    except FileNotFoundError:  # a worker whose asker was stopped ran it, too, and has tidied up
        return made()


def connected(address, workers):
    """A Dask client of the scheduler at an address, or of processes of this machine."""
    if address is None:
        threads = max(1, torch.get_num_threads() // whole_number("workers", workers))
        with dask.config.set({f"{TRIMMED}.MALLOC_TRIM_THRESHOLD_": None}):
            return distributed.Client(n_workers=workers, threads_per_worker=threads, resources=ONE,
                                      memory_limit=None, dashboard_address="127.0.0.1:0")
    try:
        return distributed.Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no Dask scheduler answered at {address!r} in {PATIENCE} seconds, "
                              "expected an address such as tcp://10.0.0.5:8786, as `dask "
                              f"scheduler` prints it ({error})") from error


def versions():
    """What must be the same in all processes: the package, down to its code, and torch."""
    return (f"apdnn_lite {__version__} with code {_files.sha256_of(CODE.encode())[:8]} and "
            f"torch {torch.__version__.partition('+')[0]}")  # with CUDA or without


def same_versions(client):
    """The :func:`versions` here; raises ValueError unless all workers that take cells have them."""
    known, expected = client.scheduler_info()["workers"], versions()
    able = [worker for worker in known if known[worker]["resources"].get("cell")]
    if not able:
        raise ValueError(f"none of {len(known)} workers takes cells: start some with `dask worker "
                         "ADDRESS --nthreads 2 --resources cell=1`")
    for worker, found in client.run(versions, workers=able, on_error="return").items():
        if found != expected:
            raise ValueError(f"the worker {worker} has {found}, expected {expected} as here: "
                             "install the same at both")
    return expected
