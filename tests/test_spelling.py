"""American spelling everywhere, notebooks included; `make lint` runs the same check."""

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
spelling = pytest.importorskip("spelling")
pytest.importorskip("codespell_lib")
BRITISH = "col" + "our"  # in two pieces, or this file would be found


def test_the_repository_is_spelled_in_one_way():
    found = spelling.misspelled(ROOT, spelling.tracked(ROOT))
    assert not found, "\n" + "\n".join(found)


TEXTS = {
    f"The {BRITISH} of a cell": 1,
    f"my_{BRITISH} = 1": 1,
    f"'{BRITISH}'": 1,
    f"{BRITISH.title()}s": 1,
    "rec" + "ieve": 1,
    "unlabel" + "led": 1,
    "The color of a cell isn't known.": 0,
    f"12{BRITISH}34": 0,
    f"https://example.org/{BRITISH}": 0,
}


def test_british_words_and_misprints_are_found(tmp_path):
    names = [f"{number}.md" for number in range(len(TEXTS))]
    for name, text in zip(names, TEXTS, strict=True):
        (tmp_path / name).write_text(text)
    found = spelling.misspelled(tmp_path, names)
    counts = [sum(line.startswith(f"{name}:1: ") for line in found) for name in names]
    assert dict(zip(TEXTS, counts, strict=True)) == TEXTS and sum(counts) == len(found)


def test_notebooks_are_read_without_their_pictures(tmp_path):
    picture = new_output("display_data", {"image/png": BRITISH, "text/plain": "<Figure>"})
    widget = new_output(
        "display_data", {"text/html": f"<img src='data:image/png;base64,{BRITISH}+/='>"}
    )
    printed = new_output("stream", name="stdout", text=f"{BRITISH}\n")
    cells = [new_markdown_cell(f"A {BRITISH}."),
             new_code_cell(f"x = '{BRITISH}'", outputs=[picture, widget, printed])]
    nbformat.write(new_notebook(cells=cells), tmp_path / "toy.ipynb")
    assert len(spelling.misspelled(tmp_path, ["toy.ipynb"])) == 3  # prose, source, what was printed


def test_titles_of_cited_works_and_licenses_are_left_alone(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "references.bib").write_text(BRITISH)
    (tmp_path / "LICENSE").write_text(BRITISH)
    (tmp_path / "weights.safetensors").write_bytes(bytes(range(256)))
    assert (
        spelling.misspelled(tmp_path, ["book/references.bib", "LICENSE", "weights.safetensors"])
        == []
    )
    assert sorted(spelling.tracked(tmp_path)) == [
        "LICENSE",
        "book/references.bib",
        "weights.safetensors",
    ]
