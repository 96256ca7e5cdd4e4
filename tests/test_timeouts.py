"""A notebook cell that runs out of time fails, and so does the run; a stuck browser does not."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from browser import ended_after
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 3  # that a cell may take
HANGS = "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('interrupted')"
RAISES = "# NBVAL_RAISES_EXCEPTION\nimport time\ntime.sleep(60)"
FINE = "x = 1"
TOYS = {
    "fine": [FINE, FINE],
    "hangs": [FINE, HANGS],
    "raises": [RAISES],
    "goes_on": [HANGS, FINE, HANGS],
}


def run(folder, toys, options=()):
    """Exit status of a pytest on toy notebooks, what it says of each cell, and all it says."""
    for name in toys:
        cells = [
            new_code_cell(source, execution_count=count)
            for count, source in enumerate(TOYS[name], 1)
        ]
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            ROOT / "pyproject.toml",
            "--rootdir",
            folder,
            "-p",
            "conftest",
            "-p",
            "no:cacheprovider",
            "-n",
            "0",
            "-v",
            f"--nbval-cell-timeout={SECONDS}",
            *options,
            folder,
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    text = done.stdout + done.stderr
    said = {}
    for line in text.splitlines():
        # "hangs::ipynb::Cell 1 FAILED   [ 50%]", the point in nbval's own spelling
        if found := re.match(r"(\w+)(?:\.|::)ipynb::Cell (\d+) ([A-Z]+) .*%\]$", line):
            said[f"{found[1]} {found[2]}"] = found[3]
    return done.returncode, said, text


@pytest.fixture(scope="module")
def with_the_hook(tmp_path_factory):
    return run(tmp_path_factory.mktemp("toys"), TOYS)


def test_cells_that_end_in_time_pass(with_the_hook):
    _, said, text = with_the_hook
    assert (said["fine 0"], said["fine 1"], said["hangs 0"]) == ("PASSED", "PASSED", "PASSED"), text


def test_an_interrupted_cell_fails_though_it_handles_the_interruption(with_the_hook):
    code, said, text = with_the_hook
    assert code == 1 and said["hangs 1"] == said["goes_on 0"] == "FAILED", text
    assert f"Timeout of {SECONDS} seconds exceeded" in text


def test_an_interrupted_cell_fails_though_it_is_meant_to_raise_an_exception(with_the_hook):
    _, said, text = with_the_hook
    assert said["raises 0"] == "FAILED", text


def test_cells_after_an_interrupted_one_fail_if_they_pass(with_the_hook):
    _, said, text = with_the_hook
    assert said["goes_on 1"] == said["goes_on 2"] == "FAILED" and "[XPASS(strict)]" in text, text


def test_without_the_hook_the_run_would_pass(tmp_path):
    """The reason for the hook. If this fails, nbval fails such cells itself: the hook may go."""
    code, said, text = run(tmp_path, ["hangs"], ["-p", "no:conftest"])
    assert code == 0 and said == {"hangs 0": "PASSED", "hangs 1": "PASSED"}, text


@pytest.mark.parametrize("frozen, closing_takes", [(True, 1), (False, 0)])
def test_what_does_not_end_by_itself_is_ended(frozen, closing_takes):
    with ended_after(1) as closing:
        process = psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        if frozen:
            process.suspend()
        began = time.monotonic()
        closing()
        process.communicate(b"\n")
    assert closing_takes <= time.monotonic() - began < 30
    assert (process.returncode == 0) is not frozen


def test_what_was_running_before_goes_on():
    with psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with ended_after(0) as closing:
            closing()
            time.sleep(0.5)
        process.communicate(b"\n")
    assert process.returncode == 0
