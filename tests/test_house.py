"""How the package is built: what is in it, how long it may get, and who may import whom.

The classroom modules together are the text of one evening, so they have a budget. The other modules
are read when needed; those of the workshop, ``experiments``, by nobody who only reads the book.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "apdnn_lite"

CLASSROOM = {
    "__init__": 50,
    "data": 200,
    "transforms": 206,
    "models": 105,
    "losses": 60,
    "evaluate": 165,
    "training": 250,
    "adversarial": 115,
    "attacks": 206,
    "figures": 160,
}
# One module for each family of earlier methods. They come beside the evening.
PRIOR = {
    "prior.__init__": 20,
    "prior.networks": 50,
    "prior.weights": 150,
    "prior.activations": 150,
    "prior.frontier": 150,
    "prior.poison": 150,
    "prior.locks": 150,
    "prior.ckks": 150,
}
# Thieves and locks beyond the source, each read with its chapter.
BEYOND = {
    "beyond.__init__": 20,
    "beyond.labels": 180,
    "beyond.thieves": 110,
    "beyond.mended": 180,
    "beyond.memory": 150,
    "beyond.blockwise": 150,
    "beyond.channels": 150,
    "beyond.few_weights": 150,
    "beyond.passports": 150,
    "beyond.nontransfer": 150,
}
EVENING = 1_500  # lines of all classroom modules together
# Each module may import only from those before it; __init__ may import all but __main__.
ORDER = """
    _checks _source _files _torchvision _machine _state _statistics _settings _augment _checkpoint
    _history _graph _task _arrays _pictures _sources _grid _table
    data transforms models losses _network _scoring evaluate training adversarial attacks figures
    widgets playground export _backward exercises quizzes
    prior.networks prior.weights prior.activations prior.poison prior.frontier prior.locks
    prior.ckks prior.__init__
    beyond.labels beyond.thieves beyond.mended beyond.memory beyond.blockwise beyond.channels
    beyond.few_weights beyond.passports beyond.nontransfer beyond.__init__
    experiments.recipes experiments.provenance experiments.records experiments.weights
    experiments.runs experiments.thief experiments.gaps experiments.tables
    experiments.reproduce experiments.cluster
    experiments.prior.store experiments.prior.weights experiments.prior.activations
    experiments.prior.poison experiments.prior.frontier experiments.prior.locks
    experiments.prior.__init__
    experiments.beyond.store experiments.beyond.thieves experiments.beyond.mended
    experiments.beyond.measure experiments.beyond.later
    experiments.beyond.__init__
    experiments.checkup experiments.variants experiments.commands experiments.cli
    experiments.__init__
    __main__
""".split()
ALL = ["__init__", *ORDER]
OTHER_LINES = 250  # of each module that is read when needed
SCREENS = 100  # lines without docstrings: two screens, for fit and its loop
LOOP = ["train", "one_epoch", "step", "gradients", "logits"]  # methods of Run


def file_of(module, package=PACKAGE):
    return package / f"{module.replace('.', '/')}.py"


def lines_of(module):
    return file_of(module).read_text(encoding="utf-8").splitlines()


def modules_in(package):
    """The names of all modules of a package, such as 'data' and 'experiments.records'."""
    return {
        ".".join(path.relative_to(package).with_suffix("").parts) for path in package.rglob("*.py")
    }


# ---- budgets

def test_every_module_has_its_place():
    assert modules_in(PACKAGE) == set(ALL)


def test_each_has_one_place():
    assert len(set(ALL)) == len(ALL) and set(CLASSROOM | PRIOR | BEYOND) <= set(ALL)


@pytest.mark.parametrize("module", ALL)
def test_a_module_keeps_its_budget(module):
    lines = lines_of(module)
    limit = 8 if module == "__main__" else (CLASSROOM | PRIOR | BEYOND).get(module, OTHER_LINES)
    assert len(lines) <= limit, f"{len(lines)} lines; the budget is {limit}"
    columns = 88 if module in CLASSROOM | PRIOR | BEYOND else 100
    wide = [number for number, line in enumerate(lines, 1) if len(line) > columns]
    assert not wide, f"wider than {columns} characters: lines {wide}"


def test_the_classroom_is_read_in_one_evening():
    lengths = {module: len(lines_of(module)) for module in CLASSROOM}
    assert sum(lengths.values()) <= EVENING, lengths


# ---- imports

def imported(module, package=PACKAGE):
    """The modules of the package that a module imports, at its top or inside a function.

    The package itself is given as "__init__". ``__version__``, which needs no module, is not given.
    """
    known, here = modules_in(package), module.split(".")[:-1]
    top = package.name

    def named(parts, names):
        """What ``from parts import names`` imports: names that are modules, else ``parts``."""
        base = ".".join(parts)
        for name in names:
            if name == "__version__":
                continue
            inner = f"{base}.{name}" if base else name
            if inner in known or f"{inner}.__init__" in known:
                yield inner if inner in known else f"{inner}.__init__"
            elif base in known:
                yield base
            else:
                yield f"{base}.__init__" if base else "__init__"

    for node in ast.walk(ast.parse(file_of(module, package).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            names = [alias.name for alias in node.names]
            if node.level:
                yield from named(here[:len(here) - node.level + 1] + parts, names)
            elif parts[:1] == [top]:
                yield from named(parts[1:], names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == top:
                    yield from named(parts[1:-1], parts[-1:]) if len(parts) > 1 else ["__init__"]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "import_module",
            "__import__",
        ):
            yield f"{ast.unparse(node)}, which no test can follow"


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_from_those_before_it(module):
    later = set(imported(module)) - set(ORDER[:ORDER.index(module)])
    assert not later, f"{module} imports {sorted(later)}"


def test_nothing_above_imports_the_workshop_but_the_package_itself():
    above = [module for module in ORDER[:-1] if not module.startswith("experiments")]
    users = [
        module
        for module in above
        if any(name.startswith("experiments") for name in imported(module))
    ]
    assert users == []
    assert any(name.startswith("experiments") for name in imported("__init__"))


def test_the_finder_of_imports_finds_them(tmp_path):
    package = tmp_path / "toy"
    (package / "sub").mkdir(parents=True)
    for name in ("__init__", "a", "b", "c", "d", "sub/__init__", "sub/x", "sub/y"):
        (package / f"{name}.py").write_text("")
    (package / "a.py").write_text(
        "from . import b, __version__, x\nfrom .c import f\ndef g():\n    from .sub.x import"
        " z\nimport toy.d\nimport torch\nfrom .sub import y, helper\nfrom os import path\n"
    )
    assert set(imported("a", package)) == {
        "b",
        "__init__",
        "c",
        "sub.x",
        "d",
        "sub.y",
        "sub.__init__",
    }
    (package / "sub" / "x.py").write_text(
        "from ..a import f\nfrom . import y\nfrom .y import g\nfrom .. import b\n"
        "from toy.sub import y\nimport toy\nimport toy.sub\nfrom toy import d\n"
    )
    assert set(imported("sub.x", package)) == {"a", "sub.y", "b", "__init__", "sub.__init__", "d"}
    (package / "b.py").write_text("import importlib\nimportlib.import_module('toy.c')\n")
    assert list(imported("b", package)) == [
        "importlib.import_module('toy.c'), which no test can follow"
    ]
    assert list(imported("c", package)) == []


# ---- the loop

def length_of(node):
    """The lines of a function or class, without its docstring and those inside."""
    lines = node.end_lineno - node.lineno + 1
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(
            inner, clean=False
        ):
            lines -= inner.body[0].end_lineno - inner.body[0].lineno + 1
    return lines


def loop_of(source):
    """{name: lines} of ``fit`` and of the methods of ``Run`` that make its loop."""
    defined = {node.name: node for node in ast.parse(source).body
               if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    methods = {node.name: node for node in defined["Run"].body if isinstance(node, ast.FunctionDef)}
    return {"fit": length_of(defined["fit"]), **{name: length_of(methods[name]) for name in LOOP}}


def test_fit_and_its_loop_fit_two_screens():
    found = loop_of(file_of("training").read_text(encoding="utf-8"))
    assert sum(found.values()) <= SCREENS, f"{sum(found.values())} lines: {found}"


def test_the_loop_is_counted():
    source = (
        'def fit():\n    """One.\n\n    Two.\n    """\n    step()\n\nclass Run:\n    """A run."""\n'
    )
    for name in LOOP:
        source += f"    def {name}(self):\n        'It.'\n        return 1\n\n"
    source += "    def weights(self):\n        return 2\n"
    assert loop_of(source) == {"fit": 2, **dict.fromkeys(LOOP, 2)}


# ---- explanations

def unexplained(source):
    """The public functions, classes and methods without a docstring.

    ``forward`` is torch's; a method that another class of the module explains needs no
    second explanation.
    """
    body = ast.parse(source).body
    methods = [method for node in body if isinstance(node, ast.ClassDef) for method in node.body
               if isinstance(method, ast.FunctionDef)]
    known = {
        "forward",
        "extra_repr",
        *(method.name for method in methods if ast.get_docstring(method)),
    }
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.name
            for method in node.body if isinstance(node, ast.ClassDef) else ():
                if (isinstance(method, ast.FunctionDef) and not method.name.startswith("_")
                        and method.name not in known):
                    yield f"{node.name}.{method.name}"


@pytest.mark.parametrize("module", [name for name in ALL if name != "__main__"])
def test_every_public_function_is_explained(module):
    source = file_of(module).read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), "the module has no docstring"
    assert list(unexplained(source)) == []


def test_what_is_not_explained_is_found():
    source = (
        'def f():\n    """It."""\ndef g(): pass\ndef _h(): pass\nclass A:\n    """A."""\n'
        "    def forward(self): pass\n    def m(self): pass\n    def _n(self): pass\nclass B:\n"
        '    def o(self):\n        """It."""\nclass C:\n    """C."""\n    def o(self): pass\n'
    )
    assert list(unexplained(source)) == ["g", "A.m", "B"]
