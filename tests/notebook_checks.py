"""What every chapter has to keep, checked without running it.

Each check takes a `Notebook` and yields one message for each thing that is wrong;
the message says which notebook, which cell, and what was expected. CHECKS lists
them. test_notebooks.py applies them to the book, and to toys that break each rule.
"""

import ast
import base64
import re
import symtable
from functools import cached_property
from pathlib import Path

import nbformat

IMAGE_LIMIT = 100_000  # bytes
NOTEBOOK_LIMIT = 2_000_000  # bytes
CODE_WIDTH = 88  # characters; wider lines scroll sideways in a window of 1,280 pixels
ALT_LENGTH = 40  # characters; "a plot" says nothing to a reader who cannot see it
EXERCISES = 3
VISIBLE_LINES = 20  # of a cell that the page shows unfolded
PHONE = 342  # pixels: how wide a figure is shown on a phone whose screen is 390 pixels wide
PRINT = 9  # pixels: the smallest print of a figure on that phone
BASE = 10.5  # points: the print of ap.figures.style() where nothing else is said
DOTS = 100  # pixels an inch of a figure, by that style
COMPARED = "nbval-check-output"  # the tag by which nbval compares a cell's output
REMOVED, FOLDED = {"remove-cell", "remove-input"}, {"hide-cell", "hide-input"}

# ::: or ``` , a directive's name, its argument; its options and content; the same fence
DIRECTIVE = re.compile(
    r"^(?P<fence>:{3,}|`{3,})\{(?P<name>[\w-]+)\}[ \t]*"
    r"(?P<argument>[^\n]*)\n(?P<body>.*?)^(?P=fence)[ \t]*$",
    re.M | re.S,
)
# A path of somebody's machine, not a part of a longer path or of a web address.
MACHINE_PATH = re.compile(
    r"(?<![\w./~-])(?:/(?:work|root)|/(?:home|Users)/[\w.-]+|[A-Z]:\\Users)(?![\w-])"
)

# What an author puts where text is still to come.
PLACEHOLDER = re.compile(
    r"\b[A-Z]{3,}-(?:TEXT|HERE)\b|@@|\b(?:TO-?DO|FIX-?ME|X{3}|TBD)\b|\b(?i:lorem ipsum)\b"
)


class Notebook:
    def __init__(self, path: Path):
        self.path = path
        self.content = nbformat.read(path, as_version=4)
        self.cells = self.content.cells

    def at(self, number):
        """'11_fixed.ipynb, cell 12 (key = ap.Fixed(…)'; cells are counted from 0."""
        source = self.cells[number].source.strip()
        first = source.splitlines()[0] if source else "empty"
        return f"{self.path.name}, cell {number} ({first[:50]})"

    @cached_property
    def code(self):
        return [
            (number, cell) for number, cell in enumerate(self.cells) if cell.cell_type == "code"
        ]

    @cached_property
    def markdown(self):
        return [
            (number, cell) for number, cell in enumerate(self.cells) if cell.cell_type == "markdown"
        ]

    @cached_property
    def text(self):
        return "\n\n".join(cell.source for _, cell in self.markdown)

    @cached_property
    def directives(self):
        """(cell number, name, argument, body) of every MyST directive, in order."""
        return [
            (number, found["name"], found["argument"].strip(), found["body"])
            for number, cell in self.markdown
            for found in DIRECTIVE.finditer(cell.source)
        ]

    @cached_property
    def solutions(self):
        """{label: (number of the first cell, numbers of the cells between, body of the start)}"""
        found, opened = {}, None
        for number, name, argument, body in self.directives:
            if name == "solution-start":
                opened = (argument, number, body)
            elif name == "solution-end" and opened:
                label, start, start_body = opened
                found[label] = (start, range(start + 1, number), start_body)
                opened = None
        return found

    @cached_property
    def in_solutions(self):
        return {number for _, between, _ in self.solutions.values() for number in between}


def python(cell):
    """The cell's source without the lines for IPython (%magic, !command)."""
    return "\n".join(
        "pass" if line.startswith(("%", "!")) else line for line in cell.source.splitlines()
    )


def tree(cell):
    return ast.parse(python(cell))


def tags(cell):
    return set(cell.metadata.get("tags", []))


def has_assert(cell):
    return any(isinstance(node, ast.Assert) for node in ast.walk(tree(cell)))


def option(body, name):
    found = re.search(rf"^:{name}:[ \t]*(.*?)[ \t]*$", body, re.M)
    return found[1] if found else ""


# --- it was run -------------------------------------------------------------------


def executed_in_order(notebook):
    for expected, (number, cell) in enumerate(notebook.code, start=1):
        if cell.execution_count != expected:
            yield (
                f"{notebook.at(number)}: execution count is {cell.execution_count}, expected"
                f" {expected}: every code cell runs once, from a fresh kernel, in order (make"
                " refresh)"
            )


def no_errors(notebook):
    for number, cell in notebook.code:
        for output in cell.outputs:
            text = output.get("text", "")
            if output.output_type == "error":
                yield (
                    f"{notebook.at(number)}: stored the error {output.ename}: {output.evalue};"
                    " expected none"
                )
            elif "Traceback (most recent call last)" in text:
                yield f"{notebook.at(number)}: stored a traceback on {output.name}; expected none"
            elif output.get("name") == "stderr" and "Warning" in text:
                yield (
                    f"{notebook.at(number)}: stored a warning; expected none: {text.strip()[:200]}"
                )


def marks_and_asserts(notebook):
    lesson = [cell for number, cell in notebook.code
              if number not in notebook.in_solutions and "exercise-check" not in tags(cell)]
    if not any(COMPARED in tags(cell) or re.search(r"^# *NBVAL_CHECK_OUTPUT\b", cell.source, re.M)
               for cell in lesson):
        yield (
            f"{notebook.path.name}: no cell outside the solutions has the tag {COMPARED};"
            " expected at least one"
        )
    if not any(has_assert(cell) for cell in lesson):
        yield (
            f"{notebook.path.name}: no cell outside the solutions has an assert; expected at"
            " least one"
        )


# --- it can be read ---------------------------------------------------------------


def alt_texts(notebook):
    for number, cell in notebook.code:
        if any(
            mime.startswith("image/") for output in cell.outputs for mime in output.get("data", {})
        ):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            if len(alt.strip()) < ALT_LENGTH:
                yield (
                    f"{notebook.at(number)}: shows an image; expected an alt text of at least"
                    f" {ALT_LENGTH} characters in the cell's metadata mystnb.image.alt, found"
                    f" {alt!r}"
                )
    for number, cell in notebook.markdown:
        if re.search(r"!\[\s*\]\(", cell.source):
            yield (
                f"{notebook.at(number)}: an image without an alt text; expected ![what it shows](…)"
            )
    for number, name, argument, body in notebook.directives:
        if name in ("image", "figure") and len(option(body, "alt")) < ALT_LENGTH:
            yield (
                f"{notebook.at(number)}: {name} {argument}: expected :alt: of at least {ALT_LENGTH}"
                " characters"
            )


def sizes(notebook):
    size = notebook.path.stat().st_size
    if size > NOTEBOOK_LIMIT:
        yield f"{notebook.path.name}: {size:,} bytes; expected at most {NOTEBOOK_LIMIT:,}"
    for number, cell in notebook.code:
        for output in cell.outputs:
            for mime, data in output.get("data", {}).items():
                if mime.startswith("image/"):
                    size = len(data.encode()) if "svg" in mime else len(base64.b64decode(data))
                    if size > IMAGE_LIMIT:
                        yield (
                            f"{notebook.at(number)}: an {mime} of {size:,} bytes; expected at most"
                            f" {IMAGE_LIMIT:,}"
                        )


def code_fits(notebook):
    for number, cell in notebook.code:
        for line in cell.source.splitlines():
            if len(line) > CODE_WIDTH:
                yield (
                    f"{notebook.at(number)}: a line of {len(line)} characters"
                    f" ({line.strip()[:40]}…); expected at most {CODE_WIDTH}, or it scrolls"
                    " sideways on the page"
                )


def exact_means(notebook):
    """From Python 3.12 on sum() loses less of floats: its mean may differ from the stored one."""
    for number, cell in notebook.code:
        for node in ast.walk(tree(cell)):
            if (
                isinstance(node, ast.BinOp)
                and isinstance(node.op, ast.Div)
                and any(
                    isinstance(part, ast.Call) and getattr(part.func, "id", None) == "sum"
                    for part in ast.walk(node.left)
                )
            ):
                yield (
                    f"{notebook.at(number)}: divides by hand, {ast.unparse(node)[:60]}; expected"
                    " statistics.fmean, which gives the same on every Python"
                )


def no_machine_paths(notebook):
    for number, cell in enumerate(notebook.cells):
        texts = [("source", cell.source)]
        for output in cell.get("outputs", []):
            texts.append(("output", output.get("text", "")))
            # not the images, whose base64 may contain anything
            texts += [
                ("output", text)
                for mime, text in output.get("data", {}).items()
                if mime.startswith("text/")
            ]
        for where, text in texts:
            if found := MACHINE_PATH.search(text):
                yield (
                    f"{notebook.at(number)}: the {where} names {found[0]}, a path of one machine;"
                    " expected none"
                )


def no_placeholders(notebook):
    for number, cell in enumerate(notebook.cells):
        if found := PLACEHOLDER.search(cell.source):
            yield f"{notebook.at(number)}: holds {found[0]!r}; expected the text that it stands for"


# --- it has the parts of a chapter ------------------------------------------------


def opening(notebook):
    first = notebook.cells[0] if notebook.cells else None
    if (
        first is None
        or first.cell_type != "markdown"
        or not re.match(r"(\([\w-]+\)=\n+)?# \S", first.source)
    ):
        yield (
            f"{notebook.path.name}: expected the first cell to be markdown that starts with a"
            " title, '# …'"
        )
        return
    boxes = "\n".join(body for number, _, _, body in notebook.directives if number == 0)
    for words in ("You will be able to", "You need", "Running time"):
        if words not in boxes:
            yield (
                f"{notebook.at(0)}: expected a box (:::{{admonition}} …) in the first cell that"
                f" says '{words}'"
            )


def headings(notebook):
    for heading in ("Summary", "Exercises", "What comes next"):
        if not re.search(rf"^## {heading}[ \t]*$", notebook.text, re.M):
            yield f"{notebook.path.name}: expected a heading '## {heading}'"


def exercises(notebook):
    name = notebook.path.name
    labels = [
        (number, option(body, "label"))
        for number, kind, _, body in notebook.directives
        if kind in ("exercise", "exercise-start")
    ]
    if len(labels) < EXERCISES:
        yield f"{name}: {len(labels)} exercises; expected at least {EXERCISES}"
    for number, label in labels:
        if not label.startswith("ex-"):
            yield (
                f"{notebook.at(number)}: an exercise with the label {label!r}; expected ':label:"
                " ex-…'"
            )
        elif label not in notebook.solutions:
            yield (
                f"{notebook.at(number)}: {label} has no solution; expected solution-start {label} …"
                " solution-end"
            )
    for label, (start, between, body) in notebook.solutions.items():
        where = f"{notebook.at(start)}: the solution of {label}"
        if label not in [known for _, known in labels]:
            yield f"{where} belongs to no exercise of this notebook"
        if "dropdown" not in option(body, "class").split():
            yield f"{where} is not folded; expected ':class: dropdown'"
        code = [number for number in between if notebook.cells[number].cell_type == "code"]
        if not any(has_assert(notebook.cells[number]) for number in code):
            yield (
                f"{where} is not tested; expected a code cell with an assert between solution-start"
                " and solution-end"
            )
        for number in code:
            if notebook.cells[number].metadata.get("jupyter", {}).get("source_hidden") is not True:
                yield (
                    f"{notebook.at(number)}: a solution that JupyterLab shows unfolded; expected"
                    " the cell's metadata jupyter.source_hidden to be true"
                )


# --- its sliders are tested -------------------------------------------------------

TAKES_A_CALLBACK = {
    "interact",
    "interact_manual",
    "interactive",
    "interactive_output",
    "observe",
    "on_click",
}


def functions(notebook):
    return {
        node.name
        for _, cell in notebook.code
        for node in ast.walk(tree(cell))
        if isinstance(node, ast.FunctionDef)
    }


def calls_with_a_callback(notebook):
    """(cell number, what is called, its first argument), for ipywidgets and our own helpers."""
    for number, cell in notebook.code:
        for node in ast.walk(tree(cell)):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            target, first = ast.unparse(node.func), node.args[0]
            # our own helpers may also take a network or images first
            ours = re.match(r"(ap\.|apdnn_lite\.)widgets\.\w+$", target) and (
                isinstance(first, ast.Lambda) or ast.unparse(first) in functions(notebook))
            if target.rpartition(".")[2] in TAKES_A_CALLBACK or ours:
                yield number, target, first


def callbacks(notebook):
    """A kernel without a browser never moves a slider, so its function is also called in a cell."""
    trees = [(number, tree(cell)) for number, cell in notebook.code]
    called = {
        node.func.id
        for _, root in trees
        for node in ast.walk(root)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    for number, root in trees:
        for node in ast.walk(root):
            for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
                target = decorator.func if isinstance(decorator, ast.Call) else decorator
                if ast.unparse(target).rpartition(".")[2] in TAKES_A_CALLBACK:
                    yield (
                        f"{notebook.at(number)}: {node.name} is decorated with"
                        f" {ast.unparse(target)}; expected interact(function, …), so that the"
                        " function stays a plain one"
                    )
    for number, target, callback in calls_with_a_callback(notebook):
        if ast.unparse(callback) not in functions(notebook):
            yield (
                f"{notebook.at(number)}: {target} gets {ast.unparse(callback)[:60]}; expected a"
                " plain function that a cell of this notebook defines by name"
            )
        elif callback.id not in called:
            yield (
                f"{notebook.at(number)}: no cell calls {callback.id}(…) directly; expected one, so"
                " that the tests run it"
            )


def names_read(table):
    """The names of the notebook that a function reads, with those of what is defined inside it."""
    names = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_global() and symbol.is_referenced()
    }
    return names.union(*(names_read(child) for child in table.get_children()))


def sliders_keep_their_names(notebook):
    """A slider moves after the whole notebook has run: what its function reads must still exist."""
    tables = [
        (number, symtable.symtable(python(cell), "cell", "exec")) for number, cell in notebook.code
    ]
    reads = {
        child.get_name(): names_read(child) for _, table in tables for child in table.get_children()
    }
    for slider, _, callback in calls_with_a_callback(notebook):
        needed, new = set(), {ast.unparse(callback)}
        while new:  # the function, what it reads, what the functions among these read, …
            needed |= new
            new = set().union(*(reads.get(name, ()) for name in new)) - needed
        for number, table in tables:
            assigned = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()}
            for name in sorted(assigned & needed) if number > slider else ():
                yield (
                    f"{notebook.at(number)}: gives {name} another value, which the slider of"
                    f" {ast.unparse(callback)} reads in cell {slider}; expected another name, or"
                    " the slider fails once the notebook has run"
                )


# --- its references lead somewhere ------------------------------------------------


def bibliography(folder):
    file = folder / "references.bib"
    return (
        set(re.findall(r"^\s*@\w+\s*\{\s*([^,\s]+)", file.read_text(encoding="utf-8"), re.M))
        if file.exists()
        else set()
    )


def glossary(folder):
    """The terms: in a glossary directive, the lines that are not indented."""
    file = folder / "glossary.md"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return {
        line.partition(" : ")[0].strip().lower()
        for found in DIRECTIVE.finditer(text)
        if found["name"] == "glossary"
        for line in found["body"].splitlines()
        if line.strip() and not line.startswith((" ", "\t", ":"))
    }


def citations(notebook):
    cited = [
        key.strip()
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", notebook.text)
        for key in keys.split(",")
    ]
    if not cited:
        yield f"{notebook.path.name}: cites nothing; expected at least one {{cite}}`key`"
    for key in sorted(set(cited) - bibliography(notebook.path.parent)):
        yield f"{notebook.path.name}: cites {key!r}, which is not in references.bib"


def terms(notebook):
    roles = re.findall(r"\{term\}`([^`]+)`", notebook.text)
    # {term}`key` or {term}`the owner's key <key>`
    linked = {
        re.sub(r"\s+", " ", re.sub(r"^.*<(.+)>$", r"\1", role, flags=re.S)).strip().lower()
        for role in roles
    }
    if not linked:
        yield f"{notebook.path.name}: links no glossary term; expected at least one {{term}}`…`"
    for term in sorted(linked - glossary(notebook.path.parent)):
        yield f"{notebook.path.name}: links the term {term!r}, which is not in glossary.md"


# --- it shows what teaches --------------------------------------------------------



def shown(notebook):
    """(number, cell) of the code cells that the page shows unfolded."""
    return [(number, cell) for number, cell in notebook.code
            if number not in notebook.in_solutions and not tags(cell) & (REMOVED | FOLDED)]


def no_scaffolding(notebook):
    """Markers and asserts are for the tests; a check cell has the tag remove-cell."""
    for number, cell in shown(notebook):
        if "NBVAL" in cell.source:
            yield f"{notebook.at(number)}: shows a marker; expected the cell tag {COMPARED}"
        if has_assert(cell) and "exercise-check" not in tags(cell):
            yield (f"{notebook.at(number)}: shows an assert; expected it in a cell of its own with"
                   " the tag remove-cell")
        lines = len(cell.source.splitlines())
        if lines > VISIBLE_LINES:
            yield (f"{notebook.at(number)}: shows {lines} lines; expected at most {VISIBLE_LINES}."
                   " Move the rest into the package, or fold the cell with the tag hide-input")


def starters(notebook):
    """Before its solution, an exercise has a hint, a starter cell and a check of the answer."""
    begins = {option(body, "label"): number for number, kind, _, body in notebook.directives
              if kind in ("exercise", "exercise-start")}
    for label, (end, between, _) in notebook.solutions.items():
        if label not in begins:
            continue
        part = range(begins[label], end + 1)
        text = "\n".join(notebook.cells[n].source for n in part
                         if notebook.cells[n].cell_type == "markdown")
        where = f"{notebook.at(begins[label])}: the exercise {label}"
        if not re.search(r"^:{3,}\{(admonition|dropdown)\} Hint\b", text, re.M):
            yield f"{where} has no hint; expected a folded box, :::{{dropdown}} Hint"
        found = [tags(notebook.cells[n]) for n in part]
        if not any("starter" in each for each in found):
            yield f"{where} has no cell with the tag starter"
        checks = [n for n in part if "exercise-check" in tags(notebook.cells[n])]
        if not checks:
            yield f"{where} has no cell with the tag exercise-check"
        for n in checks:
            names = re.findall(r"ap\.exercises\.check\(\s*\w+,\s*(\w+)", notebook.cells[n].source)
            solved = "\n".join(notebook.cells[n].source for n in between)
            if not names:
                yield f"{notebook.at(n)}: expected a call of ap.exercises.check(answer, test)"
            for name in names:
                if not re.search(rf"\b{name}\(", solved):
                    yield f"{where}: the solution does not pass {name}(…), which tests the reader's"


# --- its figures can be read on a phone -------------------------------------------

FIGURES = Path(__file__).resolve().parent.parent / "apdnn_lite" / "figures.py"
SIZE_OF_PRINT = re.compile(
    r"""\b(?:font|title_font|label|legend\.font)?size["']?\s*[=:]\s*["']?([\w.-]+)"""
)
NAMED = {"xx-small": 0.579, "x-small": 0.694, "small": 0.833, "smaller": 0.833}
LEAST_POINTS = 4  # a smaller "size" is not print but an image's, in inches


def named_functions(sources):
    """{name: source} of the functions that these sources define."""
    return {
        node.name: ast.get_source_segment(source, node)
        for source in sources
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
    }


def points(source):
    """The sizes of print that a source names, in points."""
    for found in SIZE_OF_PRINT.findall(source):
        if found in NAMED:
            yield BASE * NAMED[found]
        elif re.fullmatch(r"\d+(\.\d+)?", found) and float(found) >= LEAST_POINTS:
            yield float(found)


def mentioned(source):
    """What a source may call: its names, and the attributes of ``figures`` as figures.…"""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("figures"):
            yield f"figures.{node.attr}"


def smallest_print(source, functions):
    """The smallest print, in points, of what a cell draws, with the functions that it uses.

    functions: the source of each by name, those of the package's figures as ``figures.…``.
    """
    smallest, new, seen = BASE, [source], set()
    while new:
        text = new.pop()
        smallest = min([smallest, *points(text)])
        used = (set(mentioned(text)) & set(functions)) - seen
        seen |= used
        new += [functions[name] for name in used]
    return smallest


def png_width(data):
    return int.from_bytes(base64.b64decode(data)[16:20], "big")


def slider_widths(notebook, cell):
    """The widths of the pictures that the sliders of a cell choose among."""
    widgets = notebook.content.metadata.get("widgets", {})
    state = widgets.get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    new = [
        output["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]
        for output in cell.outputs
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]
    while new:
        model = state.get(new.pop(), {}).get("state", {})
        new += [child.removeprefix("IPY_MODEL_") for child in model.get("children", [])]
        for width in re.findall(r'<img [^>]*\bwidth="(\d+)"', str(model.get("value", ""))):
            yield int(width)


def print_size(notebook):
    """On a phone, the smallest print of every figure has at least PRINT pixels."""
    package = named_functions([FIGURES.read_text(encoding="utf-8")])
    functions = {f"figures.{name}": source for name, source in package.items()}
    functions["images"] = package["images"]  # the others call it by this name
    functions |= named_functions([python(cell) for _, cell in notebook.code])
    for number, cell in notebook.code:
        widths = [
            png_width(output["data"]["image/png"])
            for output in cell.outputs
            if "image/png" in output.get("data", {})
        ]
        widths += slider_widths(notebook, cell)
        smallest = smallest_print(python(cell), functions)
        most = smallest / 72 * DOTS * PHONE / PRINT
        if max(widths, default=0) > most:
            yield (
                f"{notebook.at(number)}: a figure {max(widths)} pixels wide with print of"
                f" {smallest:g} points; expected at most {most:.0f} pixels, or the print has fewer"
                f" than {PRINT} on a phone. Draw it narrower, or stack its panels"
            )


CHECKS = [
    executed_in_order,
    no_errors,
    marks_and_asserts,
    alt_texts,
    sizes,
    code_fits,
    exact_means,
    no_machine_paths,
    no_placeholders,
    opening,
    headings,
    exercises,
    callbacks,
    sliders_keep_their_names,
    no_scaffolding,
    starters,
    print_size,
    citations,
    terms,
]
