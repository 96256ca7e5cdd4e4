"""The copies for students: nothing of a solution is left in them, and all the rest is."""

import builtins
import copy
import html
import json
import re
import symtable
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_checks import DIRECTIVE, Notebook, python, tags

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "_build" / "student"
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
sys.path.insert(0, str(ROOT / "tools"))
import student  # noqa: E402

SHORT = 15  # characters without spaces; a shorter line, such as `return loss`, gives nothing away
WORDS = 6  # of prose in a row
LISTED = 20  # chapters; the welcome page and the appendix have no minutes of their own


def squeezed(text):
    """Without white space, so that no line break hides a match."""
    return re.sub(r"\s+", "", text)


def texts(cell):
    """What a cell holds to be read: its source, its outputs as text, and the data of pictures."""
    yield cell.source
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        for data in output.get("data", {}).values():
            yield data if isinstance(data, str) else json.dumps(data)


def split(notebook):
    """The texts of a notebook inside solutions, and those outside, without student.py's help."""
    inside, outside = [], []
    opened = False
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            (inside if opened else outside).extend(texts(cell))
            continue
        done = 0
        for found in DIRECTIVE.finditer(cell.source):
            if found["name"] in ("solution-start", "solution-end"):
                (inside if opened else outside).append(cell.source[done:found.start()])
                done, opened = found.end(), found["name"] == "solution-start"
        (inside if opened else outside).append(cell.source[done:])
    return inside, outside


def secrets(notebook):
    """Pieces of the solutions that occur nowhere else in the notebook, without white space."""
    inside, outside = split(notebook)
    pieces = set()
    for text in inside:
        if len(text) > 20_000:  # a picture
            pieces.add(text[1000:2000])
            continue
        pieces.update(text.splitlines())
        for run in re.findall(r"[A-Za-z'’ \n-]{20,}", text):
            words = run.split()[1:-1]  # those at the ends may be cut
            pieces.update(" ".join(words[start:start + WORDS])
                          for start in range(len(words) - WORDS + 1))
    elsewhere = squeezed("\n".join(outside))
    pieces = {squeezed(piece) for piece in pieces}
    return {piece for piece in pieces if len(piece) >= SHORT and piece not in elsewhere}


def leaks(text, hidden):
    text = squeezed(text)
    return sorted(piece for piece in hidden if piece in text)


def text_of(notebook):
    return json.dumps(notebook.metadata.get("widgets", {})) + "\n".join(
        text for cell in notebook.cells for text in texts(cell)
    )


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_nothing_of_a_solution_is_left(path):
    chapter = Notebook(path)
    hidden = secrets(chapter)
    assert len(hidden) >= 3 * len(chapter.solutions) > 0
    assert leaks(text_of(chapter.content), hidden), "the test would find nothing anywhere"
    assert leaks(text_of(student.without_solutions(chapter.content, path.name)), hidden) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_all_the_rest_is_still_there(path):
    chapter = Notebook(path)
    copied = student.without_solutions(chapter.content, path.name)
    assert not nbformat.validate(copied)
    kept = squeezed("\n".join(text for cell in copied.cells for text in texts(cell)))
    for text in split(chapter)[1]:
        assert squeezed(text) in kept
    for tag in ("starter", "exercise-check"):
        count = [sum(tag in tags(cell) for cell in cells)
                 for cells in (chapter.cells, copied.cells)]
        assert count[0] == count[1]
    labels = [re.findall(r"^:label: (ex-\S+)", cell.source, re.M) for cell in copied.cells]
    assert {label for found in labels for label in found} == set(chapter.solutions)


def defined_and_used(cells):
    """(names that cells define, names that they use without defining them) as global ones."""
    defined, used = set(), set()

    def walk(table, top):
        for symbol in table.get_symbols():
            if top and (symbol.is_assigned() or symbol.is_imported()):
                defined.add(symbol.get_name())
            if symbol.is_referenced() and (top or symbol.is_global()):
                used.add(symbol.get_name())
        for child in table.get_children():
            walk(child, False)

    for cell in cells:
        walk(symtable.symtable(python(cell), "cell", "exec"), True)
    return defined, used


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_cell_needs_what_a_solution_defines(path):
    copied = student.without_solutions(nbformat.read(path, as_version=4), path.name)
    defined, used = defined_and_used([c for c in copied.cells if c.cell_type == "code"])
    known = set(dir(builtins)) | {"get_ipython", "display", "__name__"}
    assert used - defined - known == set()


def test_the_page_for_instructors_has_minutes_for_every_exercise():
    page = (ROOT / "book" / "instructors.md").read_text(encoding="utf-8")
    rows = re.findall(r"\{ref\}`(ex-[\w-]+)` (\d+)", page)
    assert len(rows) == len(dict(rows)) and all(5 <= int(minutes) <= 30 for _, minutes in rows)
    asked = {label for path in CHAPTERS[:LISTED] for label in Notebook(path).solutions}
    assert {label for label, _ in rows} == asked


# ---- toys

def toy(*cells):
    return new_notebook(cells=list(cells))


BEGIN = ":::{solution-start} ex-a\n:class: dropdown\n:::\n"
END = ":::{solution-end}\n:::\n"
VIEW = {student.VIEW: {"model_id": "picture-of-the-answer", "version_major": 2}}


def test_a_solution_may_share_its_cells_with_other_text():
    found = student.without_solutions(toy(
        new_markdown_cell("Before.\n\n" + BEGIN + "\nForty-two."),
        new_code_cell("print(42)", outputs=[new_output("stream", text="42\n")]),
        new_markdown_cell("Six times seven."),
        new_markdown_cell("Seven.\n" + END + "\nBetween.\n\n" + BEGIN + "\nNine.\n\n" + END),
        new_code_cell("after = 1"),
        new_markdown_cell("```{solution} ex-b\nTen.\n```\n"),
    ), "toy")
    assert [cell.source for cell in found.cells] == ["Before.", "Between.", "after = 1"]


@pytest.mark.parametrize("text, message", [
    (BEGIN, "toy: a solution-start without a solution-end; expected one below it"),
    (END, "toy, cell 0: solution-end outside a solution"),
    (BEGIN + "\n" + BEGIN, "toy, cell 0: solution-start inside a solution"),
])
def test_marks_that_do_not_match_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        student.without_solutions(toy(new_markdown_cell(text)), "toy")


def test_the_state_of_a_solutions_widgets_goes_and_the_others_stays():
    lesson = copy.deepcopy(VIEW)
    lesson[student.VIEW]["model_id"] = "slider"
    book = toy(
        new_code_cell("slider", outputs=[new_output("display_data", data=lesson)]),
        new_markdown_cell(BEGIN),
        new_code_cell("answer", outputs=[new_output("display_data", data=VIEW)]),
        new_markdown_cell(END),
    )
    state = {"slider": {"state": {"layout": "IPY_MODEL_layout"}}, "layout": {},
             "picture-of-the-answer": {}}
    book.metadata["widgets"] = {student.STATE: {"state": state}}
    found = student.without_solutions(book, "toy")
    assert set(found.metadata["widgets"][student.STATE]["state"]) == {"slider", "layout"}
    assert len(state) == 3, "the original has changed"


def test_a_leak_is_found():
    book = toy(
        new_markdown_cell("What is six times seven, said in many words of the English language?"),
        new_markdown_cell(BEGIN + "\nAnybody who can count knows very well that it is 42.\n"),
        new_code_cell("the_answer_is = 6 * 7  # forty-two",
                      outputs=[new_output("stream", text="{'the answer': 42}\n")]),
        new_markdown_cell(END),
    )
    hidden = secrets(book)
    for text in ("Anybody who can count\nknows very well that",
                 "the_answer_is = 6 * 7  # forty-two", "print: {'the answer': 42}"):
        assert leaks(text, hidden)
    assert leaks(book.cells[0].source, hidden) == []


def test_a_name_that_is_missing_is_found():
    defined, used = defined_and_used([new_code_cell("def f():\n    return gone\nx = f() + here"),
                                      new_code_cell("import here")])
    assert used - defined == {"gone"} and {"f", "x", "here"} <= defined


# ---- what is written

def test_references_to_figures_and_equations_are_words():
    figure = new_code_cell("plot()")
    figure.metadata["mystnb"] = {"figure": {"name": "fig-x"}}
    cells = [
        new_markdown_cell("{numref}`fig-x` shows it, as {numref}`fig-x` does."), figure,
        new_markdown_cell("$$\nx\n$$ (eq-y)"),
        new_markdown_cell("See {numref}`fig-x`, equation {eq}`eq-y` and {ref}`Climbing <climb>`."),
    ]
    student.plain_references(cells)
    assert cells[0].source == "The figure below shows it, as the figure below does."
    assert cells[3].source == "See the figure above, the equation above and Climbing."
    with pytest.raises(ValueError, match="fig-z.* is not in this chapter"):
        student.plain_references([new_markdown_cell("{numref}`fig-z`")])
    for path in CHAPTERS:
        notebook = student.without_solutions(nbformat.read(path, as_version=4), path.name)
        student.plain_references(notebook.cells)
        for cell in notebook.cells:
            assert cell.cell_type != "markdown" or not student.REFERENCE.search(cell.source)


def test_citations_are_names_and_years_with_a_link():
    library = student.parse_file(ROOT / "book" / "references.bib").entries
    text = "{cite:t}`tramer2020adaptive` and {cite:p}`chen2018protect, xiao2017fashion`"
    link = r"\[([^\]]*)\]\(https://[^)]*\)"
    assert re.sub(link, r"\1", student.plain_citations(text, library)) == (
        "Tramèr et al. (2020) and (Chen and Wu, 2018; Xiao et al., 2017)")
    for path in CHAPTERS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                assert "{cite" not in student.plain_citations(cell.source, library)


def test_terms_of_the_glossary_are_words_in_jupyterlab():
    text = "The {term}`white box`, {term}`transforms <transform>` and a\n{term}`bit error\nrate`."
    assert student.plain_terms(text) == "The white box, transforms and a\nbit error\nrate."
    for path in CHAPTERS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                assert "{term}" not in student.plain_terms(cell.source)


def test_the_package_is_installed_only_where_it_is_missing():
    cell = student.install_cell("apdnn_lite-1-py3-none-any.whl", None)
    assert "import apdnn_lite\nexcept ImportError:" in cell.source
    assert '%pip install --quiet "apdnn_lite-1-py3-none-any.whl" pandas' in cell.source
    elsewhere = student.install_cell("a.whl", {"url": "https://example.org/me/book/"})
    assert '"https://example.org/me/book/raw/student/book/a.whl"' in elsewhere.source


def test_a_page_can_be_left_out_of_the_contents():
    toc = {"root": "a", "parts": [{"caption": "x", "chapters": [{"file": "b"}, {"file": "c"}]}]}
    assert student.without_page(toc, "b") == {
        "root": "a", "parts": [{"caption": "x", "chapters": [{"file": "c"}]}]}


def test_a_zip_is_the_same_in_every_run(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.txt").write_text("a")
    for name in ("x.zip", "y.zip"):
        student.pack(tmp_path / "in", tmp_path / name)
    with zipfile.ZipFile(tmp_path / "x.zip") as packed:
        assert packed.namelist() == ["x/deep/a.txt"]
    (tmp_path / "y.zip").rename(tmp_path / "z.zip")
    student.pack(tmp_path / "in", tmp_path / "y.zip")
    assert (tmp_path / "y.zip").read_bytes() == (tmp_path / "z.zip").read_bytes()


def all_secrets():
    """What no file of the students may hold: secrets of one chapter that no other one tells."""
    chapters = [Notebook(path) for path in CHAPTERS]
    open_text = squeezed("\n".join(text for each in chapters for text in split(each)[1]))
    return {piece for each in chapters for piece in secrets(each) if piece not in open_text}


def readable(name, data):
    text = data.decode("utf-8")
    if name.endswith(".ipynb"):
        return text_of(nbformat.reads(text, as_version=4))
    return html.unescape(re.sub(r"<[^>]*>", "", text)) if name.endswith(".html") else text


def built_files():
    if not (BUILT / student.ZIP_NAME).is_file():
        pytest.skip("the copies for students are not there: run `make student` first")
    newest = max(path.stat().st_mtime for path in CHAPTERS)
    if (BUILT / student.ZIP_NAME).stat().st_mtime < newest:
        pytest.skip("a chapter has changed since: run `make student` again")
    for path in BUILT.rglob("*"):
        if path.suffix in (".html", ".ipynb", ".md", ".txt", ".js") and "vendor" not in path.parts:
            yield str(path.relative_to(BUILT)), path.read_bytes()
    with zipfile.ZipFile(BUILT / student.ZIP_NAME) as packed:
        for name in packed.namelist():
            if name.endswith((".ipynb", ".md")):
                yield f"{student.ZIP_NAME}: {name}", packed.read(name)


def test_nothing_of_a_solution_is_in_what_was_built():
    files, hidden = list(built_files()), all_secrets()
    found = {name: leaked for name, data in files
             if (leaked := leaks(readable(name, data), hidden))}
    assert found == {}


def test_the_page_for_instructors_is_not_in_what_was_built():
    assert not [name for name, _ in built_files() if "instructors" in name]
