"""Execute chapters from a fresh kernel and save their outputs.

    python tools/refresh.py                        every chapter, one after the other
    python tools/refresh.py book/11_fixed.ipynb    this one

A chapter is saved only when all of it ran. What differs from run to run without
meaning anything (times, versions, random ids of widgets) is not saved, so that a
refresh that changes nothing shows no difference in git.
"""

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path

import ipykernel.kernelspec
import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

BOOK = Path(__file__).resolve().parent.parent / "book"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE_INFO = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}


class ThisPython(KernelSpecManager):
    def get_kernel_spec(self, kernel_name):
        return self.kernel_spec_class(
            resource_dir=ipykernel.kernelspec.RESOURCES, **ipykernel.kernelspec.get_kernel_dict()
        )


class ThisKernel(AsyncKernelManager):
    """Every kernel is the Python that runs this script, whatever else is installed."""

    def __init__(self, **options):
        super().__init__(**options | {"kernel_spec_manager": ThisPython()})


def tidy(notebook, stem):
    """Remove what changes from run to run or from machine to machine."""
    metadata = notebook.metadata
    for name in ("signature", "papermill", "vscode"):
        metadata.pop(name, None)
    metadata["kernelspec"] = dict(KERNELSPEC)
    metadata["language_info"] = dict(LANGUAGE_INFO)
    for cell in notebook.cells:
        for name in ("execution", "ExecuteTime", "collapsed", "scrolled", "trusted"):
            cell.metadata.pop(name, None)
    # Widgets get a random id in every run. Number them in the order in which they
    # were made instead; the name of the chapter keeps them apart from other chapters'.
    state = (
        metadata.get("widgets", {})
        .get("application/vnd.jupyter.widget-state+json", {})
        .get("state", {})
    )
    if state:
        text = json.dumps(notebook)
        ids = sorted(state, key=text.find)
        new = {old: f"{stem}-{number:04d}" for number, old in enumerate(ids)}
        text = re.sub("|".join(map(re.escape, ids)), lambda match: new[match.group()], text)
        notebook = nbformat.from_dict(json.loads(text))
    return notebook


def refresh(path, timeout):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata.pop("widgets", None)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        kernel_manager_class=ThisKernel,
        extra_arguments=["--log-level=40"],  # errors of the kernel itself, not its advice
        timeout=timeout,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=True,
        # joins the pieces of a stream, and of a progress bar keeps the last state
        coalesce_streams=True,
    )
    running = None

    def started(cell, cell_index):
        nonlocal running
        running = cell_index

    client.on_cell_execute = started
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        sys.exit(f"\n{path.name}, cell {running} failed; nothing was saved.\n\n{error}")
    notebook = tidy(notebook, path.stem)
    nbformat.validate(notebook)
    # to a neighbor first, so that an interruption leaves the old file whole
    new = path.with_suffix(".ipynb.new")
    nbformat.write(notebook, new)
    os.replace(new, path)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "chapters", nargs="*", type=Path, help="notebooks; all of book/ if none is named"
    )
    parser.add_argument("--timeout", type=int, default=600, help="seconds that one cell may take")
    arguments = parser.parse_args()
    chapters = arguments.chapters or sorted(BOOK.glob("*.ipynb"))
    if not chapters:
        sys.exit(f"no notebooks in {BOOK}")
    missing = [str(path) for path in chapters if not path.is_file()]
    if missing:
        sys.exit("no such notebook: " + ", ".join(missing))
    for path in chapters:
        print(f"{path.name} ... ", end="", flush=True)
        start = time.perf_counter()
        refresh(path.resolve(), arguments.timeout)
        print(f"{time.perf_counter() - start:.0f} s, {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
