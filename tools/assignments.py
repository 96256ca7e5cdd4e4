"""The chapters as assignments, whose exercises otter-grader grades.

    python tools/assignments.py                           make the assignments
    python tools/assignments.py --grade FOLDER            grade what students handed in

The first command writes below ``_build/assignments``: the folder ``notebooks``, the same files as
``apdnn-assignments.zip`` to hand out, and in ``autograders`` one zip for each chapter, which stays
with the teacher and is what ``otter run --autograder`` takes. Solutions are taken out, as in
``make student``. Each exercise is worth one point, and the book's own check is its test. What no
check can read, an answer in words, is listed at the end.

The second command runs otter on every notebook of a folder and writes ``grades.csv`` into it: one
row for each exercise, with its points, and the reason where there are none. Grading runs the code
that students wrote, with your permissions and on your machine.
"""

import argparse
import ast
import builtins
import csv
import json
import os
import re
import shutil
import symtable
import sys
import tempfile
import textwrap
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import nbformat
import student
import yaml

TARGET = student.ROOT / "_build" / "assignments"
AUTOGRADERS = TARGET / "autograders"
ZIP_NAME = "apdnn-assignments.zip"
GRADES = "grades.csv"
COLUMNS = ["notebook", "chapter", "exercise", "points", "of", "reason"]
NEEDED = "otter-grader is not installed. Try: pip install -r requirements.txt"
SECONDS = 300  # that a cell may take

EXERCISE = re.compile(
    r"^(?P<fence>:{3,}|`{3,})\{exercise\}[ \t]*(?P<title>[^\n]*)\n(?P<body>.*?)^(?P=fence)[ \t]*$",
    re.M | re.S,
)
LABEL = re.compile(r"^:label: *(ex-[\w-]+)[ \t]*$", re.M)

HEAD = '''\
"""{label}, "{title}": the book's own check as a test for otter-grader.

`make assignments` wrote this file; change the check in the notebook instead.
"""

from otter.test_files import test_case

from apdnn_lite.exercises import graded

OK_FORMAT = False
name = "{label}"
points = 1
'''
CASE = """

@test_case(name={title!r})
def test_{answer}({arguments}):
    with graded(env, {answer!r}, {names}):
{body}
"""
WORDS = """\
**In your own words.** The exercise above asks a question, too. Double-click here, and write your
answer below this line.
"""


# ---- the exercises of a notebook

def exercises(notebook):
    """(label, title, text, number of the cell with the check or None) of every exercise."""
    found = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for match in EXERCISE.finditer(cell.source):
                label = LABEL.search(match["body"])
                if label is None:
                    raise ValueError(f"the exercise {match['title']!r} has no label; expected"
                                     " ':label: ex-…' below its title")
                found.append([label[1], match["title"].strip(), match["body"], None])
        elif "exercise-check" in cell.metadata.get("tags", []) and found:
            found[-1][3] = number
    return found


def questions(text):
    """The sentences of an exercise that end in a question mark."""
    text = re.sub(r"^:\w+:.*$", "", text, flags=re.M)
    sentences = re.split(r"(?<=[.?!:)])\s+(?=[A-Z\"*(])", " ".join(text.split()))
    return [sentence for sentence in sentences if re.search(r"\?[\")*]*(\s|$)", sentence)]


def is_check(statement):
    """Whether a statement of a cell is a call of ap.exercises.check."""
    return (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
            and ast.unparse(statement.value.func) == "ap.exercises.check")


def names_read(source):
    """The names that a source reads and does not define, less those that Python has built in."""
    top, read = symtable.symtable(source, "check", "exec"), set()
    own = {symbol.get_name() for symbol in top.get_symbols()
           if symbol.is_assigned() or symbol.is_imported()}

    def walk(table):
        read.update(symbol.get_name() for symbol in table.get_symbols()
                    if symbol.is_referenced() and (table is top or symbol.is_global()))
        for child in table.get_children():
            walk(child)

    walk(top)
    return read - own - set(dir(builtins))


def otter_test(label, title, check):
    """The text of otter's test file for one exercise: a test case for each answer.

    Otter calls a test case with those values of the submission's names that it has as arguments.
    So the body is the book's check as it stands, made local to the function.
    """
    statements = ast.parse(check).body
    calls = [statement.value for statement in statements if is_check(statement)]
    if not calls:
        raise ValueError(f"{label}: the check cell has no ap.exercises.check(answer, test)")
    parts = [ast.get_source_segment(check, each) for each in statements if not is_check(each)]
    text = HEAD.format(label=label, title=title.replace('"', "'"))
    for call in calls:
        answer, test = map(ast.unparse, call.args)
        body = "\n\n".join([*parts, f"{test}({answer})"])
        names = sorted(names_read(body) - {answer})
        if not answer.isidentifier() or "env" in names:
            raise ValueError(f"{label}: expected the answer to be a name, and no name 'env' in the"
                             f" check; got {answer!r} and {names}")
        text += CASE.format(
            title=title if len(calls) == 1 else f"{title}: {answer}", answer=answer, names=names,
            arguments=", ".join(["env", answer, *names]),
            body=textwrap.indent(body, " " * 8),
        )
        same_code(text, body, label)
    return text


def same_code(text, body, label):
    """Raise ValueError where moving a check into a function has changed it (a string, say)."""
    moved = ast.parse(text).body[-1].body[0].body
    if [ast.dump(each) for each in moved] != [ast.dump(each) for each in ast.parse(body).body]:
        raise ValueError(f"{label}: the check has a string over several lines, which indenting"
                         " changes; expected each string to end on its own line")


# ---- what is written

def mark(notebook, name):
    """Make a notebook without solutions an assignment of this name."""
    notebook.metadata["otter"] = {"assignment_name": name}
    for label, _, text, check in reversed(exercises(notebook)):
        if check is None:
            continue
        notebook.cells[check].metadata.update({"otter": {"tests": [label]}, "deletable": False})
        if questions(text):
            words = nbformat.v4.new_markdown_cell(WORDS.rstrip())
            words.id = f"words-{label}"
            notebook.cells.insert(check + 1, words)


def write_autograder(notebook, name, file):
    """Write the zip with the tests of a chapter that ``otter run`` takes."""
    from otter.generate import main as generate

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "tests").mkdir()
        for label, title, _, check in exercises(notebook):
            if check is not None:
                text = otter_test(label, title, notebook.cells[check].source)
                (folder / "tests" / f"{label}.py").write_text(text, encoding="utf-8")
        config = {"assignment_name": name}
        (folder / "otter_config.json").write_text(json.dumps(config), encoding="utf-8")
        file.parent.mkdir(parents=True, exist_ok=True)
        generate(tests_dir=str(folder / "tests"), output_path=str(file),
                 config=str(folder / "otter_config.json"), no_requirements=True,
                 no_environment=True)


HAND_IN = """
## To hand in

Each exercise is worth a point when its check says *Right!* Do not change the check: grading uses
its own copy. Before you hand in, choose *Restart Kernel and Run All Cells* in the menu *Kernel*,
see that the checks still say what you expect, and save. Hand in the notebook itself, the `.ipynb`
file.
"""


def make(target):
    """Write the assignments and their autograders into an empty folder."""
    config = yaml.safe_load((student.ROOT / "_config.yml").read_text(encoding="utf-8"))
    student.write_notebooks(target / "notebooks", config, change=mark)
    with open(target / "notebooks" / "README.md", "a", encoding="utf-8") as file:
        file.write(HAND_IN)
    student.pack(target / "notebooks", target / ZIP_NAME)
    to_read, unchecked, count = [], [], 0
    for path in sorted((target / "notebooks" / "book").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        write_autograder(notebook, path.stem, target / "autograders" / f"{path.stem}.zip")
        for label, title, text, check in exercises(notebook):
            count += check is not None
            if check is None:
                unchecked.append(f"{label}, {title}")
            elif asked := questions(text):
                to_read.append(f"{label}\n" + textwrap.indent("\n".join(asked), "    "))
    print("\nQuestions that are answered in words, for a person to read:\n")
    print("\n".join(to_read))
    print(f"\n{count} exercises are graded, one point each. {len(to_read)} of them also ask the"
          " questions above.")
    print("Without a check: " + ("; ".join(unchecked) or "none"))
    print(f"\nnotebooks    {target / 'notebooks'}\nzip          {target / ZIP_NAME}"
          f"\nautograders  {target / 'autograders'}")


# ---- grading

@contextmanager
def cell_limit(seconds):
    """Otter waits for ever for a cell. In here, a cell is interrupted after these seconds."""
    from nbconvert.preprocessors import ExecutePreprocessor
    from traitlets import Bool, Integer

    class Limited(ExecutePreprocessor):
        timeout = Integer(seconds)
        interrupt_on_timeout = Bool(True)

    with mock.patch("nbconvert.preprocessors.ExecutePreprocessor", Limited):
        yield


def reason(case):
    """Why a test case failed: the error that otter puts below the line of the test."""
    found = re.search(r"^Error at line .*\n.*\n((?s:.*))", case.message, re.M)
    return (found[1] if found else case.message).removeprefix("AssertionError: ").strip()


def grade(submission, autograders, seconds=SECONDS):
    """[chapter, exercise, points, of, reason] of every exercise of a notebook handed in."""
    from otter.api import grade_submission

    try:
        name = nbformat.read(submission, as_version=4).metadata["otter"]["assignment_name"]
    except Exception:  # whatever a student may hand in
        return [["", "", 0, 0, "not a notebook that `make assignments` wrote"]]
    autograder = autograders / f"{name}.zip"
    if Path(name).name != name or not autograder.is_file():
        return [[name, "", 0, 0, f"there is no autograder {autograder}"]]
    with cell_limit(seconds):
        results = grade_submission(str(submission), str(autograder), quiet=True)
    if results.has_catastrophic_failure():
        return [[name, "", 0, 0, f"otter could not run the notebook: {results.catastrophic_error}"]]
    return [
        [name, label, round(test.score, 3), test.possible,
         "; ".join(reason(case) for case in test.test_case_results if not case.passed)]
        for label, test in sorted(results.results.items())
    ]


def grade_all(folder, seconds):
    """Grade the notebooks of a folder, and write the rows into it."""
    submissions = [path for path in sorted(folder.rglob("*.ipynb"))
                   if ".ipynb_checkpoints" not in path.parts]
    if not submissions:
        sys.exit(f"assignments: no notebooks in {folder}; expected the files that students handed"
                 " in, *.ipynb")
    if not AUTOGRADERS.is_dir():
        sys.exit(f"assignments: no {AUTOGRADERS}; run `make assignments` first")
    os.environ["PYTHONUTF8"] = "1"  # otter opens its tests in the machine's own encoding
    with open(folder / GRADES, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for path in submissions:
            rows = [[path.relative_to(folder).as_posix(), *row]
                    for row in grade(path, AUTOGRADERS, seconds)]
            table.writerows(rows)
            file.flush()
            print(f"{sum(row[3] for row in rows):g} of {sum(row[4] for row in rows):g}"
                  f"  {rows[0][0]}", flush=True)
    print(f"\nThe reasons are in {folder / GRADES}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grade", metavar="FOLDER", type=Path, help="grade the notebooks in it")
    parser.add_argument("--seconds", type=int, default=SECONDS,
                        help=f"that a cell may take in grading (default {SECONDS})")
    arguments = parser.parse_args()
    try:
        import otter  # noqa: F401
    except ImportError:
        sys.exit(f"assignments: {NEEDED}")
    if arguments.grade:
        grade_all(arguments.grade, arguments.seconds)
        return
    shutil.rmtree(TARGET, ignore_errors=True)
    try:
        make(TARGET)
    except ValueError as error:
        sys.exit(f"assignments: {error}")


if __name__ == "__main__":
    main()
