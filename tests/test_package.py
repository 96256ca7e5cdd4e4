"""The package as a whole: how it is imported, what it exports."""

import ast
import subprocess
import sys
import types
from pathlib import Path

import pytest

import apdnn_lite as ap

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "apdnn_lite"
ORDER = ["data", "transforms", "models", "losses", "evaluate", "training", "adversarial", "attacks", "experiments",
         "export", "tables", "figures", "widgets", "playground"]


def test_importing_it_warns_of_nothing_and_loads_no_torchvision():
    code = "import sys, apdnn_lite; print('torchvision' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def imported(path):
    """The modules of the package that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            if node.module:
                yield node.module.split(".")[0]
            else:
                yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "apdnn_lite":
            yield from (node.module.split(".")[1:2] or [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            yield from ((alias.name.split(".") + [""])[1] for alias in node.names if alias.name.split(".")[0] == "apdnn_lite")


def test_the_order_names_every_module():
    assert {path.stem for path in PACKAGE.glob("*.py")} == {*ORDER, "__init__", "__main__", "_torchvision"}


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_from_those_before_it(module):
    allowed = {*ORDER[:ORDER.index(module)], *(["_torchvision"] if module == "data" else [])}
    assert set(imported(PACKAGE / f"{module}.py")) <= allowed


def test_the_finder_of_imports_finds_them(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("from . import a\nfrom .b import x\ndef f():\n    from .c.d import y\nimport apdnn_lite.e\n"
                    "from apdnn_lite import g\nfrom apdnn_lite.h import z\nimport torch\n")
    assert set(imported(file)) == set("abceg") | {"h"}
    assert list(imported(PACKAGE / "_torchvision.py")) == []


def test_what_it_exports_exists_is_sorted_and_is_all_that_is_public():
    assert ap.__all__ == sorted(ap.__all__)
    for name in ap.__all__:
        assert hasattr(ap, name)
    public = {name for name, value in vars(ap).items()
              if not name.startswith("_") and not isinstance(value, types.ModuleType)}
    assert public == set(ap.__all__) - set(ORDER)


@pytest.mark.parametrize("name", [name for name in ap.__all__ if callable(getattr(ap, name))])
def test_what_it_exports_is_explained(name):
    assert getattr(ap, name).__doc__, f"{name} has no docstring"
