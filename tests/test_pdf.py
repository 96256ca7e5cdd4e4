"""The PDF: what is missing is named, and what is bound together leads to the right places."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import pdf  # noqa: E402

CONFIG = {"title": "A Toy Book", "author": "its author", "copyright": 2026}
PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8"><title>{name}</title>
<link rel="stylesheet" href="../_static/book.css"></head>
<body><div class="bd-sidebar-primary">SIDEBAR</div><div class="bd-main"><div class="bd-content">
<article class="bd-article">
<section id="{name}"><h1>{title}</h1>
<p><a href="#same">below</a>
<a href="{other}.html#same">there</a> <a href="instructors.html">no</a></p>
<div class="admonition solution dropdown toggle toggle-hidden">SECRET</div>
<p style="break-before: page">Next page.</p>
<section id="same"><h2>A part of {title}</h2><p>Words.</p></section></section>
</article></div></div></body></html>"""


@pytest.fixture(scope="module")
def bound(tmp_path_factory):
    """A book of two pages, printed and bound, as pypdf reads it."""
    pypdf = pytest.importorskip("pypdf")
    pytest.importorskip("playwright.sync_api")
    if pdf.find_chromium() is None:
        pytest.skip("no Chromium found: install it, or name it in the variable CHROMIUM")
    folder = tmp_path_factory.mktemp("book")
    (folder / "book").mkdir()
    (folder / "_static").mkdir()
    css = (ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")
    (folder / "_static" / "book.css").write_text(css, encoding="utf-8")
    for name, other in (("one", "two"), ("two", "one")):
        text = PAGE.format(name=name, other=other, title=f"Chapter {name}")
        (folder / "book" / f"{name}.html").write_text(text, encoding="utf-8")
    pages = [["", "book/one"], ["Part", "book/two"]]
    # In a thread of its own: in this one, Playwright may be at work for another test.
    with ThreadPoolExecutor(1) as aside:
        length = aside.submit(pdf.make, folder, folder / "book.pdf", pages, CONFIG).result()
    assert length == 6
    return pypdf.PdfReader(folder / "book.pdf")


def test_the_book_is_bound_in_order_with_numbers(bound):
    texts = [page.extract_text() for page in bound.pages]
    assert "A Toy Book" in texts[0]
    assert [line.split() for line in texts[1].splitlines() if "Chapter" in line] == [
        ["Chapter", "one", "3"], ["Chapter", "two", "5"]]
    assert "Chapter one" in texts[2] and "Chapter two" in texts[4]
    assert [text.split()[0] for text in texts[2:]] == ["3", "4", "5", "6"]


def test_solutions_and_side_bars_are_left_out(bound):
    text = "".join(page.extract_text() for page in bound.pages)
    assert "SECRET" not in text and "SIDEBAR" not in text and "Words." in text


def test_the_outline_has_the_sections(bound):
    first, below, second, under = bound.outline
    assert [first.title, below[0].title] == ["Chapter one", "A part of Chapter one"]
    assert [bound.get_destination_page_number(item)
            for item in (first, below[0], second, under[0])] == [2, 3, 4, 5]


def test_links_lead_to_pages_of_the_book(bound):
    numbers = {page.indirect_reference.idnum: number for number, page in enumerate(bound.pages)}
    found = []
    for page in bound.pages:
        for link in (each.get_object() for each in page.get("/Annots", [])):
            assert "127.0.0.1" not in str(link)
            if "/Dest" in link and link["/Rect"][2] - link["/Rect"][0] > 1:
                found.append((numbers[page.indirect_reference.idnum],
                              numbers[link["/Dest"][0].idnum]))
    assert found == [(1, 2), (1, 4), (2, 3), (2, 5), (4, 5), (4, 3)]


def test_a_missing_chromium_is_named(tmp_path, monkeypatch):
    pytest.importorskip("pypdf")
    monkeypatch.setattr(pdf, "find_chromium", lambda: None)
    with pytest.raises(pdf.Missing, match="CHROMIUM.*Install it"):
        pdf.make(tmp_path, tmp_path / "book.pdf", [], CONFIG)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(pdf.Missing, match="pypdf is missing.*pip install"):
        pdf.need()


def test_a_book_that_is_not_built_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pdf", "--book", str(tmp_path)])
    with pytest.raises(SystemExit, match="make book"):
        pdf.main()


def test_every_page_but_the_one_for_instructors_is_printed():
    import yaml

    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    names = [name for _, name in pdf.pages_of(toc)]
    chapters = sorted(f"book/{path.stem}" for path in (ROOT / "book").glob("[0-9]*.ipynb"))
    assert names[0] == "book/welcome" and names[1:21] == chapters
    assert "book/instructors" not in names
