"""The checks of notebook_checks.py on every chapter, and on toys that break them."""

import base64
import copy
import json
import re
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_checks import CHECKS, PHONE, PRINT, Notebook

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(path, check):
    problems = list(check(Notebook(path)))
    assert not problems, "\n" + "\n".join(problems)


def test_cells_have_names_of_their_own():
    for path in CHAPTERS:
        named = [cell["id"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        twice = {name for name in named if named.count(name) > 1}
        assert not twice, f"{path.name}: two cells are called {', '.join(sorted(twice))}"


def entries(node):
    """Every file that _toc.yml names, at any depth."""
    found = [node["file"]] if "file" in node else []
    for key in ("chapters", "sections", "parts"):
        for child in node.get(key, []):
            found += entries(child)
    return found


def test_table_of_contents():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = [toc["root"], *entries(toc)]
    missing = [
        name
        for name in listed
        if not any((ROOT / f"{name}{end}").exists() for end in ("", ".ipynb", ".md"))
    ]
    assert not missing, f"_toc.yml lists what does not exist: {missing}"
    unlisted = [path.name for path in CHAPTERS if f"book/{path.stem}" not in listed]
    assert not unlisted, f"_toc.yml does not list {unlisted}"


# --- the checks fail when they should ---------------------------------------------

PIXEL = base64.b64encode(b"not really a PNG").decode()
ALT = "A line that falls from left to right, from 2.3 to 0.4, and flattens out."


def good():
    """A notebook that keeps every rule."""
    cells = [
        new_markdown_cell(
            "# A title\n\n:::{admonition} In this chapter\n:class: in-this-chapter\n"
            "**You will be able to** test.\n\n**You need** nothing.\n\n**Running time**: 2 s.\n:::"
        ),
        new_markdown_cell(
            "See {cite}`chen2018, other1999` and the {term}`key`, or {term}`keys <key>`."
        ),
        new_code_cell(
            "print(1)",
            outputs=[new_output("stream", name="stdout", text="1\n")],
            metadata={"tags": ["nbval-check-output"]},
        ),
        new_code_cell(
            "%matplotlib inline\nplot()",
            outputs=[new_output("display_data", {"image/png": PIXEL, "text/plain": "<Figure>"})],
            metadata={"mystnb": {"image": {"alt": ALT}}},
        ),
        new_code_cell("def show(sigma):\n    return sigma\n\nassert show(0.1) == 0.1",
                      metadata={"tags": ["remove-cell"]}),
        new_code_cell(
            "interact(show, sigma=(0, 1))\nap.widgets.explore(show)\nap.widgets.playground(net,"
            " key)"
        ),
        new_markdown_cell("## Summary\n\nIt works.\n\n## Exercises"),
    ]
    for label in ("ex-a", "ex-b", "ex-c"):
        cells += [
            new_markdown_cell(f":::{{exercise}}\n:label: {label}\nDo it.\n:::\n\n"
                              ":::{dropdown} Hint\nThink.\n:::"),
            new_code_cell("answer = ...", metadata={"tags": ["starter"]}),
            new_code_cell("def is_one(answer):\n    assert answer == 1\n\n\n"
                          "ap.exercises.check(answer, is_one)",
                          metadata={"tags": ["exercise-check"]}),
            new_markdown_cell(f":::{{solution-start}} {label}\n:class: dropdown\n:::"),
            new_code_cell("is_one(1)\nassert True", metadata={"jupyter": {"source_hidden": True}}),
            new_markdown_cell(":::{solution-end}\n:::"),
        ]
    cells.append(new_markdown_cell("## What comes next\n\nMore."))
    count = 0
    for cell in cells:
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
    return new_notebook(cells=cells)


@pytest.fixture
def problems(tmp_path):
    (tmp_path / "references.bib").write_text(
        "@inproceedings{chen2018,\n title={T}}\n@misc{other1999,\n}\n"
    )
    (tmp_path / "glossary.md").write_text(
        "# Glossary\n\n```{glossary}\nkey\n  What the owner keeps.\n\nSigma\n  A number.\n```\n"
    )

    def find(content):
        path = tmp_path / "toy.ipynb"
        nbformat.write(content, path)
        return {check.__name__: found for check in CHECKS if (found := list(check(Notebook(path))))}

    return find


def test_good_notebook_passes(problems):
    assert problems(good()) == {}


def output(number, new):
    return lambda content: content.cells[number].outputs.append(new)


def replace(number, old, new):
    def change(content):
        cell = content.cells[number]
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def metadata(number, new):
    return lambda content: content.cells[number].update(metadata=nbformat.from_dict(new))


def without(number):
    return lambda content: content.cells.pop(number)


def wide(width):
    """The first bytes of a PNG of this width; no check reads more."""
    return base64.b64encode(bytes(16) + width.to_bytes(4, "big")).decode()


def pictured(number, width, source=""):
    """The cell shows a figure that is as many pixels wide, drawn by this source."""

    def change(content):
        cell = content.cells[number]
        cell.source += f"\n{source}"
        cell.outputs = [new_output("display_data", {"image/png": wide(width)})]

    return change


def slid(width):
    """A slider in cell 5 whose picture is as many pixels wide."""

    def change(content):
        view = {"application/vnd.jupyter.widget-view+json": {"model_id": "box"}}
        content.cells[5].outputs = [new_output("display_data", view)]
        html = f'<img alt="x" width="{width}" height="9" src="data:">'
        content.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {
            "box": {"state": {"children": ["IPY_MODEL_frame"]}},
            "frame": {"state": {"value": html}}}}}

    return change


def renumbered(change):
    """The change, after which the code cells count from 1 again."""

    def both(content):
        change(content)
        for count, cell in enumerate(
            (cell for cell in content.cells if cell.cell_type == "code"), start=1
        ):
            cell.execution_count = count

    return both


BROKEN = {
    "never run": ("executed_in_order", lambda n: n.cells[2].update(execution_count=None), "cell 2"),
    "run twice": (
        "executed_in_order",
        lambda n: n.cells[4].update(execution_count=9),
        "is 9, expected 3",
    ),
    "error": (
        "no_errors",
        output(2, new_output("error", ename="ValueError", evalue="bad", traceback=[])),
        "ValueError: bad",
    ),
    "warning": (
        "no_errors",
        output(2, new_output("stream", name="stderr", text="x.py:1: UserWarning: careful\n")),
        "careful",
    ),
    "traceback": (
        "no_errors",
        output(2, new_output("stream", name="stdout", text="Traceback (most recent call last):\n")),
        "traceback on stdout",
    ),
    "nothing compared": (
        "marks_and_asserts",
        metadata(2, {}),
        "nbval-check-output",
    ),
    "assert only in solutions": ("marks_and_asserts", replace(4, "assert ", ""), "has an assert"),
    "no alt text": ("alt_texts", metadata(3, {}), "mystnb.image.alt"),
    "short alt text": (
        "alt_texts",
        metadata(3, {"mystnb": {"image": {"alt": "a plot"}}}),
        "'a plot'",
    ),
    "markdown image": ("alt_texts", replace(1, "See", "![](a.svg) See"), "without an alt text"),
    "figure directive": (
        "alt_texts",
        replace(1, "See", ":::{figure} a.svg\n:name: a\nText\n:::\n\nSee"),
        "figure a.svg",
    ),
    "big image": (
        "sizes",
        lambda n: (
            n.cells[3]
            .outputs[0]
            .data.update({"image/png": base64.b64encode(bytes(100_001)).decode()})
        ),
        "100,001 bytes",
    ),
    "big notebook": (
        "sizes",
        output(2, new_output("stream", name="stdout", text="x" * 2_000_000)),
        "at most 2,000,000",
    ),
    "wide code": (
        "code_fits",
        replace(2, "print(1)", f"print({'1' * 82})"),
        "a line of 89 characters",
    ),
    "path in a source": (
        "no_machine_paths",
        replace(2, "print(1)", "open('/home/ada/x.npz')"),
        "source names /home/ada",
    ),
    "path in an output": (
        "no_machine_paths",
        output(2, new_output("execute_result", {"text/plain": "'/home/ada/.cache'"})),
        "output names /home/ada",
    ),
    "no title": ("opening", replace(0, "# A title", "A title"), "title"),
    "no running time": ("opening", replace(0, "Running time", "Takes"), "'Running time'"),
    "no box": ("opening", replace(0, ":::", ""), "'You need'"),
    "no summary": ("headings", replace(6, "## Summary", "### Summary"), "'## Summary'"),
    "no end": ("headings", without(-1), "'## What comes next'"),
    "two exercises": (
        "exercises",
        renumbered(lambda n: n.cells.__delitem__(slice(7, 13))),
        "2 exercises",
    ),
    "label": ("exercises", replace(7, "ex-a", "a"), "'a'; expected ':label: ex-…'"),
    "no solution": (
        "exercises",
        renumbered(lambda n: n.cells.__delitem__(slice(10, 13))),
        "ex-a has no solution",
    ),
    "open solution": ("exercises", replace(10, ":class: dropdown\n", ""), "not folded"),
    "untested solution": ("exercises", replace(11, "assert True", "True"), "not tested"),
    "shown solution": ("exercises", metadata(11, {}), "source_hidden"),
    "lambda": (
        "callbacks",
        replace(5, "interact(show", "interact(lambda sigma: sigma"),
        "gets lambda",
    ),
    "lambda in a helper": (
        "callbacks",
        replace(5, "explore(show", "explore(lambda sigma: sigma"),
        "gets lambda",
    ),
    "foreign callback": (
        "callbacks",
        replace(5, "interact(show", "slider.observe(elsewhere"),
        "gets elsewhere",
    ),
    "decorator": (
        "callbacks",
        replace(4, "def show", "@widgets.interact(sigma=1)\ndef show"),
        "decorated",
    ),
    "untested callback": (
        "callbacks",
        replace(4, "assert show(0.1) == 0.1", "assert True"),
        "no cell calls show(…)",
    ),
    "dead slider": (
        "sliders_keep_their_names",
        lambda n: (
            replace(
                4,
                "def show",
                "scale = 1\ndef scaled(sigma):\n    return [scale * sigma for _ in '1'][0]\n\ndef"
                " show",
            )(n),
            replace(4, "return sigma", "return scaled(sigma)")(n),
            replace(11, "assert True", "scale = None\nassert True")(n),
        ),
        "cell 11 (is_one(1)): gives scale another value",
    ),
    "mean": (
        "exact_means",
        replace(11, "assert True", "assert 100 * sum([1.0]) / 1"),
        "expected statistics.fmean",
    ),
    "a marker in sight": (
        "no_scaffolding",
        replace(2, "print(1)", "# NBVAL_SKIP\nprint(1)"),
        "shows a marker",
    ),
    "an assert in sight": ("no_scaffolding", metadata(4, {}), "shows an assert"),
    "a long cell": ("no_scaffolding", replace(2, "print(1)", "print(1)\n" * 21), "shows 21 lines"),
    "no hint": ("starters", replace(7, ":::{dropdown} Hint\nThink.\n:::", ""), "has no hint"),
    "no starter": ("starters", metadata(8, {}), "tag starter"),
    "no check": (
        "starters",
        replace(9, "ap.exercises.check(answer, is_one)", "print(answer)"),
        "expected a call of ap.exercises.check",
    ),
    "a wide figure": ("print_size", pictured(3, 560), "560 pixels wide with print of 10.5 points"),
    "small print": ("print_size", pictured(3, 420, "axis.text(0, 0, 'x', fontsize=7)"), "7 points"),
    "print named small": ("print_size", pictured(3, 480, "axis.legend(fontsize='small')"), "8.7"),
    "small print in a function": (
        "print_size",
        lambda n: (
            replace(4, "return sigma", "axis.set_title('x', fontsize=6)\n    return sigma")(n),
            pictured(3, 400, "show(1)")(n),
        ),
        "6 points",
    ),
    "small print of the package": (
        "print_size",
        pictured(3, 520, "ap.figures.images({'a': x}, captions={'a': ['b']})"),
        "9.5 points",
    ),
    "a wide slider": ("print_size", slid(700), "700 pixels wide"),
    "another check": ("starters", replace(11, "is_one(1)\n", ""), "does not pass is_one"),
    "unknown key": ("citations", replace(1, "other1999", "nobody2000"), "'nobody2000'"),
    "nothing cited": ("citations", replace(1, "{cite}", ""), "cites nothing"),
    "unknown term": ("terms", replace(1, "keys <key>", "keys <lock>"), "'lock'"),
    "a placeholder": (
        "no_placeholders",
        replace(1, "keys <key>`", "keys <key>` TABLE-TEXT"),
        "'TABLE-TEXT'",
    ),
    "three crosses": (
        "no_placeholders",
        replace(1, "keys <key>`", "keys <key>` " + "X" * 3),
        "'" + "X" * 3 + "'",
    ),
    "no term": (
        "terms",
        lambda n: n.cells[1].update(source="See {cite}`chen2018`."),
        "links no glossary term",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_notebook_fails(name, problems):
    check, change, words = BROKEN[name]
    content = copy.deepcopy(good())
    change(content)
    found = problems(content)
    assert list(found) == [check], "exactly one check should fail"
    assert any(words in message and "toy.ipynb" in message for message in found[check]), found[
        check
    ]


def test_a_narrow_figure_has_print_that_can_be_read(problems):
    content = good()
    pictured(3, 540)(content)
    slid(480)(content)
    assert problems(content) == {}


STATIC = ROOT / "book" / "_static"
DRAWINGS = sorted(set(STATIC.glob("*.svg")) - {STATIC / "favicon.svg"})


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.stem)
def test_a_drawing_has_print_that_can_be_read(path):
    text = path.read_text(encoding="utf-8")
    width = float(re.search(r'viewBox="\S+ \S+ (\S+) ', text)[1])
    sizes = [float(size) for size in re.findall(r"font-size\s*[:=]\s*\"?([\d.]+)", text)]
    assert sizes and min(sizes) * PHONE / width >= PRINT, (min(sizes), width)
    assert "<title" in text and "<desc" in text


# ---- the references lead somewhere

def entries_of(text):
    """{key: its text} of a BibTeX file."""
    return {part.partition(",")[0].partition("{")[2]: part for part in text.split("\n@")}


def test_every_reference_leads_to_where_it_can_be_read():
    found = entries_of((ROOT / "book" / "references.bib").read_text(encoding="utf-8"))
    assert len(found) > 40
    lost = [key for key, text in found.items() if not re.search(r"\b(doi|eprint|url)\s*=", text)]
    assert not lost, f"expected a doi, an arXiv eprint or a url of {lost}"


def test_the_glossary_is_in_order():
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    listed = [line for line in text.splitlines() if line[:1].isalpha()]
    assert len(listed) > 50 and listed == sorted(listed, key=str.lower)


def test_every_check_has_been_seen_to_fail():
    assert {check.__name__ for check in CHECKS} == {check for check, _, _ in BROKEN.values()}
