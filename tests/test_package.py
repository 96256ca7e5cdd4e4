"""The package as a whole: how it is imported, what it exports."""

import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

import apdnn_lite as ap

ROOT = Path(__file__).resolve().parent.parent


def test_importing_it_warns_of_nothing_and_loads_no_torchvision():
    code = "import sys, apdnn_lite; print('torchvision' in sys.modules or 'onnx' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert ap.__version__ == project["version"]


def test_what_it_exports_exists_is_sorted_and_is_all_that_is_public():
    assert ap.__all__ == sorted(ap.__all__)
    for name in ap.__all__:
        assert hasattr(ap, name)
    public = {name for name, value in vars(ap).items()
              if not name.startswith("_") and not isinstance(value, types.ModuleType)}
    modules = {name for name in ap.__all__ if isinstance(getattr(ap, name), types.ModuleType)}
    assert public == set(ap.__all__) - modules
    assert modules == {
        "adversarial",
        "attacks",
        "beyond",
        "exercises",
        "experiments",
        "export",
        "figures",
        "playground",
        "prior",
        "quizzes",
        "tables",
        "widgets",
    }


@pytest.mark.parametrize("name", [name for name in ap.__all__ if callable(getattr(ap, name))])
def test_what_it_exports_is_explained(name):
    assert getattr(ap, name).__doc__, f"{name} has no docstring"
