"""The assignments: every exercise has a test of otter's that is the book's own check."""

import ast
import copy
import csv
import sys
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_checks import Notebook, option, python, tags
from test_student import defined_and_used

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
sys.path.insert(0, str(ROOT / "tools"))
import assignments  # noqa: E402
import student  # noqa: E402

KERNEL = {"name": "python3", "display_name": "Python 3"}
SMALL = ROOT / "book" / "appendix_runs.ipynb"


@cache
def written(path):
    copied = student.without_solutions(nbformat.read(path, as_version=4), path.name)
    copied.cells.insert(1, student.install_cell("apdnn_lite-0-py3-none-any.whl", None))
    assignments.mark(copied, path.stem)
    return copied


def assignment(path):
    return copy.deepcopy(written(path))


class Answer(ast.NodeTransformer):
    """check_it(own) becomes answer = own: what a solution tries, a student hands in."""

    def __init__(self, check):
        calls = [each.value for each in ast.parse(check).body if assignments.is_check(each)]
        self.answers = {ast.unparse(test): answer for answer, test in
                        (call.args for call in calls)}

    def visit_Expr(self, node):
        call = node.value
        name = self.answers.get(ast.unparse(call.func)) if isinstance(call, ast.Call) else None
        if name is None:
            return node
        return ast.copy_location(
            ast.Assign([ast.Name(name.id, ast.Store())], call.args[0], lineno=node.lineno), node)


def solved(path, labels=None):
    """The assignment of a chapter with the book's own solutions (of these labels) filled in."""
    chapter, handed_in = Notebook(path), assignment(path)
    checks = {}
    for label, _, _, number in assignments.exercises(handed_in):
        checks[label] = handed_in.cells[number]
    for label in checks if labels is None else labels:
        _, between, _ = chapter.solutions[label]
        change = Answer(checks[label].source)
        for number in between:
            if chapter.cells[number].cell_type == "code":
                tree = ast.fix_missing_locations(change.visit(ast.parse(
                    python(chapter.cells[number]))))
                place = handed_in.cells.index(checks[label])
                handed_in.cells.insert(place, new_code_cell(ast.unparse(tree)))
    return handed_in


# ---- what is written

@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_exercise_has_a_test(path):
    labels = [option(body, "label") for _, name, _, body in Notebook(path).directives
              if name == "exercise"]
    marked = written(path)
    assert not nbformat.validate(marked)
    assert marked.metadata["otter"] == {"assignment_name": path.stem}
    checks = {label: cell.source for cell in marked.cells
              for label in cell.metadata.get("otter", {}).get("tests", [])}
    assert list(checks) == labels and len(labels) >= 3
    defined, _ = defined_and_used([cell for cell in marked.cells if cell.cell_type == "code"
                                   and cell.id != "install-the-package"])
    for label, source in checks.items():
        text = assignments.otter_test(label, "A title", source)
        cases = [each for each in ast.parse(text).body if isinstance(each, ast.FunctionDef)]
        assert len(cases) == source.count("ap.exercises.check(") > 0
        for case in cases:
            assert {each.arg for each in case.args.args} <= defined | {"env"}
            for check in ast.parse(source).body:
                if not assignments.is_check(check):
                    assert ast.dump(check) in [ast.dump(each) for each in case.body[0].body]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_question_in_words_has_a_place_for_the_answer(path):
    chapter, marked = Notebook(path), written(path)
    asked = {option(body, "label") for _, name, _, body in chapter.directives
             if name == "exercise" and "?" in body}
    places = [cell for cell in marked.cells if cell.id.startswith("words-")]
    assert {cell.id.removeprefix("words-") for cell in places} == asked
    for cell in places:  # right below the check
        above = marked.cells[marked.cells.index(cell) - 1]
        assert above.metadata["otter"]["tests"] == [cell.id.removeprefix("words-")]


def test_questions_are_found():
    text = (":label: ex-a\nWhich σ gives $p = 0.1$ the *same* length (see [there](a.md))? Put it"
            " into `a`. (Is\nthat a law? Say why.) It is 3.5 now.")
    assert assignments.questions(text) == [
        "Which σ gives $p = 0.1$ the *same* length (see [there](a.md))?", "(Is that a law?"]


def test_a_check_that_would_change_is_refused():
    call = "\nap.exercises.check(a, check)"
    with pytest.raises(ValueError, match="ex-a: the check has a string over several lines"):
        assignments.otter_test("ex-a", "A", 'def check(a):\n    return """x\ny"""' + call)
    with pytest.raises(ValueError, match="ex-a: the check cell has no ap.exercises.check"):
        assignments.otter_test("ex-a", "A", "print(1)")
    with pytest.raises(ValueError, match=r"expected the answer to be a name.*'a \+ 1'"):
        assignments.otter_test("ex-a", "A", "ap.exercises.check(a + 1, check)")


def test_an_exercise_without_a_label_is_refused():
    with pytest.raises(ValueError, match="the exercise 'Add' has no label"):
        assignments.exercises(new_notebook(cells=[new_markdown_cell(
            ":::{exercise} Add\nTwo and two?\n:::")]))


def test_names_that_a_check_reads():
    assert assignments.names_read(
        "few = 3\ndef check(a):\n    import os\n    b = [x for x in given]\n"
        "    def inner():\n        return len(net), few\n    return b\ncheck(answer)"
    ) == {"given", "net", "answer"}


# ---- graded by otter itself

@pytest.fixture(scope="module")
def autograders(tmp_path_factory):
    pytest.importorskip("otter", reason="otter-grader is not installed: pip install '.[test]'")
    folder = tmp_path_factory.mktemp("autograders")
    chapter = nbformat.read(SMALL, as_version=4)
    assignments.write_autograder(chapter, SMALL.stem, folder / f"{SMALL.stem}.zip")
    return folder


def graded(folder, autograders, notebook, **options):
    nbformat.write(notebook, folder / "handed in.ipynb")
    rows = assignments.grade(folder / "handed in.ipynb", autograders, **options)
    return {row[1]: row[2:] for row in rows}


def test_a_right_an_empty_and_a_wrong_answer(tmp_path, autograders):
    handed_in = solved(SMALL, ["ex-runs-altered"])
    energy = next(cell for cell in handed_in.cells
                  if "starter" in tags(cell) and cell.source == "energy = ...")
    energy.source = "energy = 65 * 3600.0"
    assert graded(tmp_path, autograders, handed_in) == {
        "ex-runs-altered": [1, 1, ""],
        "ex-runs-clean": [0, 1, "Not answered: unclean is as it was given."],
        "ex-runs-cost": [0, 1, "that is far too much; are these joules?"],
    }


TWO = """
def check_one(one):
    assert one == few, f"{one} is not {few}"

def check_two(two):
    assert two() == 2

ap.exercises.check(one, check_one)
ap.exercises.check(two, check_two)
"""


def stopped():
    raise KeyboardInterrupt


def forgotten():
    ...


@pytest.mark.parametrize("env, score, reasons", [
    ({"few": 3, "one": 3, "two": lambda: 2}, 1, []),
    ({"few": 3, "one": 1, "two": lambda: 2}, 0.5, ["1 is not 3"]),
    ({"few": 3, "one": 3, "two": lambda: 3}, 0.5, [""]),
    ({"few": 3, "one": 3, "two": stopped}, 0.5, ["Interrupted: two took too long."]),
    ({"few": 3, "one": 3, "two": lambda: [][0]}, 0.5, ["IndexError: list index out of range"]),
    ({"few": 3, "one": ..., "two": forgotten}, 0, [
        "Not answered: one is as it was given.", "Not answered: two is as it was given."]),
    ({"few": 3, "two": lambda: 2}, 0.5, [
        "Not answered: there is no one. Does its cell end in an error?"]),
    ({"one": 3, "two": lambda: 2}, 0, 2 * [
        "There is no few, which an earlier cell of the notebook defines. Is that cell gone, or"
        " does it end in an error?"]),
])
def test_each_answer_of_an_exercise_has_its_points(env, score, reasons):
    test_files = pytest.importorskip("otter.test_files", reason="otter-grader is not installed")
    text = assignments.otter_test("ex-toy", 'Give "two"', TWO)
    test = test_files.ExceptionTestFile.from_string(text)
    test.run(env)
    assert (test.name, test.possible, test.score) == ("ex-toy", 1, score)
    assert [assignments.reason(case) for case in test.test_case_results if not case.passed] == (
        reasons)


def test_a_cell_that_never_ends_is_interrupted():
    preprocessors = pytest.importorskip("nbconvert.preprocessors")
    looping = new_notebook(metadata={"kernelspec": KERNEL}, cells=[
        new_code_cell("while True:\n    pass"), new_code_cell("print(6 * 7)")])
    before = preprocessors.ExecutePreprocessor
    with assignments.cell_limit(5):
        preprocessors.ExecutePreprocessor(allow_errors=True).preprocess(looping)
    assert preprocessors.ExecutePreprocessor is before
    assert looping.cells[0].outputs[0].ename == "KeyboardInterrupt"
    assert looping.cells[1].outputs[0].text == "42\n"


def test_a_folder_is_graded(tmp_path, monkeypatch, capsys):
    pytest.importorskip("nbconvert")
    monkeypatch.setattr(assignments, "AUTOGRADERS", tmp_path / "autograders")
    with pytest.raises(SystemExit, match="no notebooks in .*; expected the files that students"):
        assignments.grade_all(tmp_path, 10)
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "a.ipynb").write_text("not JSON")
    nbformat.write(new_notebook(metadata={"otter": {"assignment_name": "../x"}}),
                   tmp_path / "b.ipynb")
    with pytest.raises(SystemExit, match="run `make assignments` first"):
        assignments.grade_all(tmp_path, 10)
    (tmp_path / "autograders").mkdir()
    pytest.importorskip("otter", reason="otter-grader is not installed: pip install '.[test]'")
    assignments.grade_all(tmp_path, 10)
    with open(tmp_path / assignments.GRADES, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["reason"].partition(" /")[0] for row in rows] == [
        "there is no autograder", "not a notebook that `make assignments` wrote"]
    assert [row["notebook"] for row in rows] == ["b.ipynb", "group/a.ipynb"]
    assert "0 of 0  group/a.ipynb" in capsys.readouterr().out
