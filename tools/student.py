"""Copies of the chapters for students: everything but the solutions.

    python tools/student.py              notebooks, a zip of them, and the book as HTML
    python tools/student.py --no-html    only the notebooks and the zip

They are written below ``_build/student``: the folder ``notebooks``, ``apdnn-student.zip`` with the
same files, and ``html``. The text, the code and the outputs of every solution are taken out;
exercises, hints, starter cells and checks stay. The page for instructors is left out too.

The wheel of the package lies beside the notebooks. Each begins with a cell that installs it, but
only where ``import apdnn_lite`` fails.
"""

import argparse
import copy
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import yaml
from pybtex.database import parse_file
from pybtex.richtext import Text

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
TARGET = ROOT / "_build" / "student"
ZIP_NAME = "apdnn-student.zip"
FOR_TEACHERS = "book/instructors"  # it tells what students get wrong, and so what is right

# ::: or ``` , a directive of a solution, its options or content, and the same fence again
MARK = re.compile(
    r"^(?P<fence>:{3,}|`{3,})\{solution(?P<kind>-start|-end|)\}[^\n]*\n.*?^(?P=fence)[ \t]*$\n?",
    re.M | re.S,
)
CITATION = re.compile(r"\{cite(?::(?P<role>[tp]))?\}`(?P<keys>[^`]+)`")
REFERENCE = re.compile(r"(?:\bequation )?\{(?P<role>numref|eq|ref)\}`(?P<target>[^`]+)`")
LABEL = re.compile(r"^:name: (\S+)|^\((\S+)\)=$|^\$\$ \((\S+)\)|^:label: (\S+)", re.M)
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"

INSTALL = """\
# Where apdnn_lite is missing, as on Colab, this installs it. Elsewhere it does nothing.
try:
    import apdnn_lite
except ImportError:
    %pip install --quiet "WHEEL" pandas
"""
README = """\
# The chapters, for students

These are the chapters of the book *Protecting Deep Neural Networks from Piracy* as notebooks. The
solutions are left out; the rest is complete. Every exercise has a hint, a cell for your answer, and
a check that tells you whether the answer holds.

You need Python 3.11 to 3.14. In this folder, preferably in a virtual environment:

```sh
pip install "book/WHEEL[lab]"
jupyter lab book/welcome.ipynb
apdnn check-env
```

The last command says in plain words what is missing on your machine, if anything is. Sliders show
when their cell has run, or at once after `jupyter trust book/*.ipynb`.
"""


def without_solutions(notebook, name):
    """A copy of a notebook without its solutions.

    A solution begins at ``solution-start`` and ends at ``solution-end``, in the same cell or in a
    later one. Raises ValueError if the two do not match.
    """
    notebook, inside = copy.deepcopy(notebook), False
    kept = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            text, inside = outside(cell.source, inside, f"{name}, cell {number}")
            if text == cell.source:
                kept.append(cell)
            elif text.strip():
                kept.append(cell)
                cell.source = text.strip()
        elif not inside:
            kept.append(cell)
    if inside:
        raise ValueError(f"{name}: a solution-start without a solution-end; expected one below it")
    notebook.cells = kept
    for cell in kept:
        if "remove-cell" in cell.metadata.get("tags", []):  # the page does not show it at all
            cell.metadata["jupyter"] = {"source_hidden": True}
    prune_widgets(notebook)
    return notebook


def outside(text, inside, where):
    """The parts of a text that are in no solution, and whether it ends inside one."""
    parts, done = [], 0
    for mark in MARK.finditer(text):
        kind = mark["kind"]
        if (kind == "-end") != inside:
            raise ValueError(
                f"{where}: solution{kind} {'inside' if inside else 'outside'} a solution; expected"
                " each solution-start to be followed by its own solution-end"
            )
        if not inside:
            parts.append(text[done:mark.start()])
        done, inside = mark.end(), kind == "-start"
    return "".join([*parts, "" if inside else text[done:]]), inside


def plain_terms(text):
    """A text whose glossary terms are plain words: in JupyterLab their links would lead nowhere."""
    return re.sub(r"\{term\}`([^`<]+?)\s*(?:<[^`]*>)?`", r"\1", text)


def plain_citations(text, library):
    """A text whose citations are names and years, because JupyterLab has no list of references.

    library: the entries of the book's bibliography by key, as pybtex reads them.
    """
    def plain(match):
        cited = []
        for key in match["keys"].split(","):
            entry = library[key.strip()]
            names = [str(Text.from_latex(" ".join(each.prelast_names + each.last_names)))
                     for each in entry.persons["author"]]
            who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
            fields = {"doi": "", "eprint": "", "url": "", **entry.fields}
            where = (fields["doi"] and f"https://doi.org/{fields['doi']}"
                     or fields["eprint"] and f"https://arxiv.org/abs/{fields['eprint']}"
                     or fields["url"])
            both = f"{who} ({fields['year']})" if match["role"] == "t" else (
                f"{who}, {fields['year']}")
            cited.append(f"[{both}]({where})" if where else both)
        return ", ".join(cited) if match["role"] == "t" else f"({'; '.join(cited)})"

    return CITATION.sub(plain, text)


def plain_references(cells):
    """Turn references to figures, equations and sections into words, in all cells of a chapter.

    JupyterLab numbers no figure that a cell draws, and so a number would lead nowhere.
    Raises ValueError if a reference is to no figure or equation of the same chapter.
    """
    places = {}
    for number, cell in enumerate(cells):
        named = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        found = [named] if named else []
        if cell.cell_type == "markdown":
            found += [name for names in LABEL.findall(cell.source) for name in names if name]
        places.update(dict.fromkeys(found, number))
    for number, cell in enumerate(cells):
        if cell.cell_type != "markdown":
            continue

        def plain(match, here=number, text=cell.source):
            if match["role"] == "ref":
                return match["target"].partition("<")[0].strip()
            if match["target"] not in places:
                raise ValueError(
                    f"{match[0]} is not in this chapter; expected a figure or an equation of it: "
                    "name the figure in its cell, or write the reference as a link"
                )
            kind = "figure" if match["role"] == "numref" else "equation"
            there = places[match["target"]]
            below = there > here or there == here and match["target"] in text[match.end():]
            begins = not text[:match.start()].strip() or re.search(
                r"[.?!:]\s+$|\n\n$", text[:match.start()])
            return f"{'The' if begins else 'the'} {kind} {'below' if below else 'above'}"

        cell.source = REFERENCE.sub(plain, cell.source)


def prune_widgets(notebook):
    """Forget the stored state of widgets that no output shows any more."""
    stored = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    wanted = [
        output.data[VIEW]["model_id"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if VIEW in output.get("data", {})
    ]
    seen = set()
    while wanted:
        model = wanted.pop()
        if model in stored and model not in seen:
            seen.add(model)
            wanted += re.findall(r"IPY_MODEL_([\w-]+)", json.dumps(stored[model]))
    for model in set(stored) - seen:
        del stored[model]


def install_cell(wheel, repository):
    """The cell that installs the package where it is missing."""
    if url := (repository or {}).get("url"):
        branch = repository.get("branch", "student")
        wheel = f"{url.rstrip('/')}/raw/{branch}/book/{wheel}"
    cell = nbformat.v4.new_code_cell(INSTALL.replace("WHEEL", wheel).rstrip())
    cell.id = "install-the-package"  # the same in every run
    cell.metadata = nbformat.from_dict(
        {"tags": ["remove-cell"], "jupyter": {"source_hidden": True},
         "slideshow": {"slide_type": "skip"}}
    )
    return cell


def build_wheel(folder):
    """Build the package's wheel into a folder; returns its name."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
               "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    if subprocess.run(command).returncode:
        sys.exit("student: pip could not build the package's wheel (see above).")
    return next(folder.glob("apdnn_lite-*.whl")).name


def student_copy(path, wheel, config):
    """A chapter without its solutions, with the cell that installs the package."""
    notebook = without_solutions(nbformat.read(path, as_version=4), path.name)
    notebook.cells.insert(1, install_cell(wheel, config.get("repository")))
    return notebook


def write_notebooks(folder, config, change=None):
    """Write the students' notebooks, and what they show or link to, into an empty folder.

    change: a function of each notebook and its name that changes it before it is written.
    """
    book = folder / "book"
    book.mkdir(parents=True)
    wheel, text, library = build_wheel(book), "", parse_file(BOOK / "references.bib").entries
    for path in sorted(BOOK.glob("*.ipynb")):
        notebook = student_copy(path, wheel, config)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = plain_terms(plain_citations(cell.source, library))
        try:
            plain_references(notebook.cells)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
        if change:
            change(notebook, path.stem)
        nbformat.write(notebook, book / path.name)
        text += "".join(cell.source for cell in notebook.cells)
    shutil.copytree(BOOK / "_static", book / "_static")
    for path in pages():
        if f"({path.name})" in text:  # a link leads there
            shutil.copy(path, book)
    (folder / "README.md").write_text(README.replace("WHEEL", wheel), encoding="utf-8")
    if (ROOT / ".binder").is_dir():  # so that Binder can open a branch that holds this folder
        shutil.copytree(ROOT / ".binder", folder / ".binder")
    return wheel


def pages():
    """The pages of the book that are no notebooks, without the one for instructors."""
    return [path for path in sorted(BOOK.glob("*.md")) if path.stem != Path(FOR_TEACHERS).name]


def pack(folder, file):
    """Zip a folder, in an order and with times that are the same in every run."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = f"{file.stem}/{path.relative_to(folder).as_posix()}"
                stored = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
                stored.external_attr = 0o644 << 16
                packed.writestr(stored, path.read_bytes(), zipfile.ZIP_DEFLATED)


def without_page(node, page):
    """A part of _toc.yml without one page."""
    if isinstance(node, list):
        return [without_page(child, page) for child in node
                if not (isinstance(child, dict) and child.get("file") == page)]
    if isinstance(node, dict):
        return {name: without_page(child, page) for name, child in node.items()}
    return node


def build_html(notebooks, config, target):
    """Build the book from the students' notebooks."""
    source = target / "source"
    shutil.copytree(notebooks, source, ignore=shutil.ignore_patterns("*.whl", ".binder"))
    for path in (*pages(), BOOK / "references.bib"):
        shutil.copy(path, source / "book")
    wheel = next((notebooks / "book").glob("*.whl")).name
    for path in BOOK.glob("*.ipynb"):  # again, because a page can have citations
        nbformat.write(student_copy(path, wheel, config), source / "book" / path.name)
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    config = copy.deepcopy(config)
    extensions = config["sphinx"]["local_extensions"]
    for name, place in extensions.items():
        extensions[name] = str(ROOT / place)
    for name, content in (("_toc.yml", without_page(toc, FOR_TEACHERS)), ("_config.yml", config)):
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
        (source / name).write_text(text, encoding="utf-8")
    command = ["jupyter-book", "build", str(source), "--path-output", str(target), "-W",
               "--keep-going", "-n"]
    beside_python = Path(sys.executable).parent / "jupyter-book"
    command[0] = str(beside_python) if beside_python.exists() else command[0]
    if subprocess.run(command).returncode:
        sys.exit("student: the students' book could not be built (see above).")
    shutil.move(target / "_build" / "html", target / "html")
    shutil.rmtree(target / "_build")
    shutil.rmtree(source)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-html", action="store_true", help="only the notebooks and the zip")
    arguments = parser.parse_args()
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    shutil.rmtree(TARGET, ignore_errors=True)
    try:
        write_notebooks(TARGET / "notebooks", config)
    except ValueError as error:
        sys.exit(f"student: {error}")
    pack(TARGET / "notebooks", TARGET / ZIP_NAME)
    print(f"notebooks  {TARGET / 'notebooks'}")
    print(f"zip        {TARGET / ZIP_NAME}")
    if not arguments.no_html:
        build_html(TARGET / "notebooks", config, TARGET)
        print(f"HTML       {TARGET / 'html' / 'index.html'}")


if __name__ == "__main__":
    main()
