"""What the build puts right in the pages: book/_ext/typography.py."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book" / "_ext"))
import typography  # noqa: E402


def table(head, *rows):
    """A DataFrame as pandas writes it, with the style sheet that sets headings right."""
    cells = "".join(f"<th>{name}</th>" for name in head)
    body = "".join(
        f"<tr>\n<th>{name}</th>" + "".join(f"<td>{cell}</td>" for cell in cells_) + "</tr>"
        for name, *cells_ in rows
    )
    return (
        "<style scoped>.dataframe thead th {\n text-align: right; }</style>\n"
        f'<table border="1" class="dataframe"><thead><tr style="text-align: right;">{cells}</tr>'
        f"</thead><tbody>{body}</tbody></table>"
    )


def test_a_column_of_numbers_is_marked_with_its_heading_and_one_of_words_is_not():
    made = typography.mend(
        table(("who", "accuracy", "choice"), ("owner", "94.0%", "kept"), ("thief", "–", "left"))
    )
    assert '<th class="number">accuracy</th>' in made and '<td class="number">94.0%</td>' in made
    assert '<td class="number">–</td>' in made, "a dash stands for a number that there is not"
    assert "<th>who</th>" in made and "<th>choice</th>" in made and "<td>kept</td>" in made
    assert "style" not in made, "the row of headings sets itself to the right no more"


@pytest.mark.parametrize(
    "text",
    ["12", "-0.5", "1.2e-05", "94.0%", "3 of 3", "42.0%, 48.0%", "93.6% to 95.6%", "5.2 ± 2.3",
     "85 (84–86)", "86–88 ●", "90 → 87", "+0.11", "0.2; 0.1; 0.5", "660,000"],
)  # fmt: skip
def test_what_is_a_number(text):
    assert typography.are_numbers([text])


@pytest.mark.parametrize("text", ["none", "owner 2", "pullover", "of 160 bits", "10 labels"])
def test_what_is_not(text):
    assert not typography.are_numbers([text])


def test_a_column_is_one_of_numbers_if_half_of_it_is():
    assert typography.are_numbers(["0", "56", "has none"])
    assert not typography.are_numbers(["0", "one", "two"])
    assert not typography.are_numbers(["", "–"]), "nothing tells what it would have been"


def test_a_table_with_merged_headings_is_marked_cell_by_cell():
    made = typography.mend(
        '<table class="dataframe"><tr><th></th><th colspan="2">loss</th></tr>'
        "<tr><th>a</th><td>1.5</td><td>word</td></tr></table>"
    )
    assert '<td class="number">1.5</td><td>word</td>' in made and '<th colspan="2">loss' in made


def test_the_text_of_cells_is_typeset_and_their_tags_are_left_alone():
    rows = ("owner 2", "-0.34"), ("a-1", "2–3 ●"), ("b", "90 → 87")
    made = typography.mend(table(("thief's E_p", "λ = 0.1"), *rows))
    assert "thief’s <i>E</i><sub>p</sub>" in made and "λ\u00a0=\u00a00.1" in made
    assert "owner\u00a02" in made and "−0.34" in made
    assert "a-\u20601" in made, "a hyphen after a letter is no minus, and does not end a line"
    assert "2\u2060–\u20603\u00a0●" in made and "90\u00a0→\u00a087" in made
    assert 'border="1" class="dataframe"' in made


def test_a_short_series_of_numbers_is_marked_and_a_long_one_is_not():
    rows = ("a", "-0.2, 10.1%", "5.0 / 6.0"), ("b", "1" + ", 1" * 8, "92.5 / 93.1; 93.0 / 93.2")
    made = typography.mend(table(("", "seeds", "tries"), *rows))
    assert '<td class="number series">−0.2, 10.1%</td>' in made.replace("\u00a0", " ")
    assert '<td class="number series">5.0 / 6.0</td>' in made.replace("\u00a0", " ")
    assert '<td class="number">1,' in made and '<td class="number">92.5' in made


def test_a_formula_keeps_its_marks():
    formula = '<span class="math notranslate nohighlight">\\(a + b\\)</span>'
    made = typography.mend(f"<p>so {formula}. And ({formula}), or {formula} alone</p>")
    assert f'so <span class="together">{formula}.</span> And' in made
    assert f'<span class="together">({formula}),</span> or {formula} alone' in made


def test_the_rest_of_a_page():
    link = '<a href="#x">'
    made = typography.mend(f'<p class="admonition-title">Solution to{link} Exercise 1</a></p>')
    assert made == f'<p class="admonition-title">Solution to {link}Exercise 1</a></p>'
    sentence = "The fastest of the device, which the record names."
    made = typography.mend(f'<table class="table"><tr><td>{sentence}</td><td>8</td></tr></table>')
    assert f'<td class="long">{sentence}</td><td>8</td>' in made
    assert typography.mend("<p>with ε = 0.1 it</p>") == "<p>with ε\u00a0=\u00a00.1 it</p>"
    code = '<pre><span class="n">x</span> <span class="o">=</span> 1</pre>'
    assert typography.mend(code) == code
