"""Mutants of one module, tried by that module's own unit tests: which do the tests not notice?

    python tools/mutants.py transforms [--tests tests/test_transforms.py] [--seconds 120]

The mutants are Cosmic Ray's (numbers, operators, comparisons, conditions, loops, decorators), and
two kinds more: a statement left out, and a keyword argument left out. Each runs in a process of its
own, forked from this one, in which PyTorch is already loaded, so a mutant takes about as long as
its tests until the first that fails. Survivors are printed as differences.
Needs: pip install cosmic-ray.
"""

import argparse
import ast
import contextlib
import copy
import difflib
import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
ROOT = Path.cwd()
# Nobody makes a mistake with shifts and bits in this code, and every test notices them at once.
SENSELESS = ("Shift", "Bit", "FloorDiv_Pow", "_Mod", "_Is", "Variable", "_Invert", "_Pow")


def cosmic_mutants(source):
    from cosmic_ray.ast import get_ast
    from cosmic_ray.mutating import MutationVisitor
    from cosmic_ray.plugins import get_operator, operator_names
    for name in operator_names():
        if any(word in name for word in SENSELESS):
            continue
        for occurrence in range(10_000):
            visitor = MutationVisitor(occurrence, get_operator(name)())
            try:
                tree = visitor.walk(get_ast(source))
            except AttributeError:  # it cannot replace an exception with a dot in its name
                continue
            if not visitor.mutation_applied:
                break
            yield name.removeprefix("core/"), tree.get_code()


def left_out(source):
    """One mutant for each statement and each keyword argument that can be left out."""
    lines = source.splitlines(keepends=True)

    def without(node, text=""):
        head = lines[node.lineno - 1].encode()[:node.col_offset].decode()
        tail = lines[node.end_lineno - 1].encode()[node.end_col_offset:].decode()
        return (
            "".join(lines[: node.lineno - 1])
            + head
            + text
            + tail
            + "".join(lines[node.end_lineno :])
        )

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and not isinstance(
            node, (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)
        ):
            if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                yield "statement left out", without(node, "pass")
        if isinstance(node, ast.Call):
            for index in range(len(node.keywords)):
                call = copy.deepcopy(node)
                del call.keywords[index]
                yield "argument left out", without(node, ast.unparse(call))


def mutants(source):
    seen = {ast.dump(ast.parse(source))}
    for kind, mutant in (*cosmic_mutants(source), *left_out(source)):
        try:
            tree = ast.dump(ast.parse(mutant))
        except SyntaxError:
            continue
        if tree not in seen:
            seen.add(tree)
            yield kind, mutant


class NoShrinking:
    """A plugin for pytest: hypothesis need not look for the simplest example of a failure."""

    def pytest_sessionstart(self):
        from hypothesis import Phase, settings
        settings.register_profile("mutants", deadline=None, database=None, derandomize=True,
                                  phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutants")


class Loader:
    """Imports the mutant in place of the module."""

    def __init__(self, name, path, source):
        self.name, self.path, self.source = name, path, source

    def find_spec(self, name, path=None, target=None):
        return (
            importlib.util.spec_from_loader(name, self, origin=str(self.path))
            if name == self.name
            else None
        )

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__file__ = str(self.path)
        exec(compile(self.source, str(self.path), "exec"), module.__dict__)


def tests_pass(name, path, source, tests, seconds):
    """Whether the tests pass with the mutant, in a forked process."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        log = os.open(
            os.environ.get("MUTANTS_LOG", os.devnull), os.O_WRONLY | os.O_CREAT | os.O_APPEND
        )
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.meta_path.insert(0, Loader(name, path, source))
        code = 1
        with contextlib.suppress(BaseException):
            import pytest

            code = pytest.main(
                [
                    *tests,
                    "-x",
                    "-q",
                    "-n0",
                    "-p",
                    "no:cacheprovider",
                    "-p",
                    "no:nbval",
                    "-p",
                    "no:timeout",
                    "-o",
                    "addopts=",
                    "--order-seed=0",
                ],
                plugins=[NoShrinking()],
            )
        os._exit(int(code))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("module")
    parser.add_argument("--tests", nargs="+")
    parser.add_argument("--seconds", type=float, default=120, help="that a mutant's tests may take")
    options = parser.parse_args()
    path = ROOT / "apdnn_lite" / (options.module.replace(".", "/") + ".py")
    tests = options.tests or [f"tests/test_{options.module.split('.')[-1].lstrip('_')}.py"]
    source = path.read_text(encoding="utf-8")
    name = f"apdnn_lite.{options.module}"
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    sys.path += os.environ.get("MUTANTS_PATH", "").split(os.pathsep)
    import hypothesis  # noqa: F401 - before the fork, so that no mutant waits for them
    import numpy  # noqa: F401
    import pytest  # noqa: F401
    import torch
    import torch.onnx
    with contextlib.suppress(ImportError):
        import matplotlib.pyplot  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
        import torch._dynamo
    torch.set_num_threads(1)
    # for what it imports; the package itself is imported anew with each mutant
    __import__("apdnn_lite")
    for each in [each for each in sys.modules if each.split(".")[0] in ("apdnn_lite", "toys")]:
        del sys.modules[each]
    if not tests_pass(name, path, source, tests, 600):
        sys.exit(f"{tests} fail without any mutant; set MUTANTS_LOG=file to see why")
    killed, survivors, start = 0, [], time.monotonic()
    found = list(mutants(source))
    for count, (kind, mutant) in enumerate(found, 1):
        if tests_pass(name, path, mutant, tests, options.seconds):
            survivors.append((kind, mutant))
            difference = list(
                difflib.unified_diff(source.splitlines(), mutant.splitlines(), lineterm="", n=0)
            )[2:]
            print(f"--- survives: {kind}", *difference, sep="\n", flush=True)
        else:
            killed += 1
        if count % 25 == 0:
            print(
                f"({count} of {len(found)}, {killed} killed, {time.monotonic() - start:.0f} s)",
                file=sys.stderr,
                flush=True,
            )
    print(f"{options.module}: {killed} of {len(found)} mutants killed by {' '.join(tests)} "
          f"({killed / len(found):.1%}), in {time.monotonic() - start:.0f} s")


main()
