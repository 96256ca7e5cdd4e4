"""A notebook cell that runs out of time fails, and so does the run: shown on toys, in a pytest of their own."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
HANGS = "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('interrupted')"
RAISES = "# NBVAL_RAISES_EXCEPTION\nimport time\ntime.sleep(60)"
FINE = "x = 1"


def run(folder, *sources, options=()):
    """Exit status and output of pytest on a notebook, with the project's own settings, two seconds a cell."""
    cells = [new_code_cell(source, execution_count=count) for count, source in enumerate(sources, 1)]
    nbformat.write(new_notebook(cells=cells), folder / "toy.ipynb")
    python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", folder, "-p", "conftest",
         "-p", "no:cacheprovider", "-n", "0", "--nbval-cell-timeout=2", *options, folder / "toy.ipynb"],
        cwd=folder, env=os.environ | {"PYTHONPATH": python_path}, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_cells_in_time_pass(tmp_path):
    code, text = run(tmp_path, FINE, FINE)
    assert code == 0 and "2 passed" in text, text


@pytest.mark.parametrize("hangs", [HANGS, RAISES], ids=["swallowed", "an exception was expected"])
def test_a_cell_that_was_interrupted_fails(tmp_path, hangs):
    code, text = run(tmp_path, FINE, hangs)
    assert code == 1 and "1 failed, 1 passed" in text, text
    assert "Timeout of 2 seconds exceeded" in text and "toy.ipynb::Cell 1" in text, text


def test_so_does_a_second_one_and_the_cells_after_it(tmp_path):
    code, text = run(tmp_path, HANGS, FINE, HANGS)
    assert code == 1 and "3 failed" in text and "passed" not in text.splitlines()[-1], text


def test_without_the_hook_it_would_pass(tmp_path):
    """nbval alone: the reason for the hook. When this fails, nbval has changed and the hook may go."""
    code, text = run(tmp_path, HANGS, options=["-p", "no:conftest", "-o", "xfail_strict=false"])
    assert code == 0 and "1 passed" in text, text
