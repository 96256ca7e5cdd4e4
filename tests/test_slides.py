"""The slides: enough for each chapter, in plain HTML, and a deck that asks nobody for anything."""

import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "book").glob("[0-9]*.ipynb"))
sys.path.insert(0, str(ROOT / "tools"))
import slides  # noqa: E402

ROOM = 720  # pixels; a slide is 1,280 wide
TYPES = {"slide", "subslide", "fragment", "skip", "notes", "-"}
SMALLEST = 0.7  # of the usual size; smaller letters cannot be read from the last row
MYST = re.compile(r"\{[a-z:-]+\}`|^:{3,}|\{(?:figure|admonition|warning|dropdown)\}", re.M)
CITED = """\
@article{one, author = {Ada B{\\'e}la}, title = {T}, year = {2018}}
@article{two, author = {Ada Smith and Bo Jones}, title = {T}, year = {2019}}
@article{three, author = {A A and B B and C C}, title = {T}, year = {2020}}
"""


@pytest.fixture(scope="module")
def names():
    return slides.Names()


@pytest.fixture
def write(tmp_path):
    (tmp_path / "references.bib").write_text(CITED, encoding="utf-8")
    chapter = new_notebook(cells=[
        new_markdown_cell("(there)=\n## A place\n\n$$\nx\n$$ (eq-x)"),
        new_code_cell("", metadata={"mystnb": {"figure": {"name": "fig-x"}}}),
        new_markdown_cell(":::{figure} a.svg\n:name: fig-y\nSee.\n:::"),
    ])
    nbformat.write(chapter, tmp_path / "03_x.ipynb")
    return slides.Writer(slides.Names(tmp_path))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_has_ten_to_fifteen_slides(path):
    types = [slides.slide_type(cell) for cell in nbformat.read(path, as_version=4).cells]
    assert set(types) <= TYPES, "each cell says what it is on the slides, if only by skip"
    assert 10 <= sum(each in slides.NEW for each in types)
    assert sum(each in slides.SHOWN for each in types) <= 15


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_directive_or_role_is_left_on_a_slide(path, names):
    write = slides.Writer(names)
    notebook = slides.slides_of(nbformat.read(path, as_version=4), names, write)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not MYST.search(re.sub(r"<code>.*?</code>", "", write(cell.source)))


@pytest.mark.parametrize("source, shown", {
    "{term}`a key <key>`": "a key",
    "{term}`key`": "key",
    "{cite:t}`one`": "Béla (2018)",
    "{cite:p}`two,three`": "(Smith and Jones, 2019; A et al., 2020)",
    "{numref}`fig-x` and {numref}`fig-y`": "Figure 3.1 and Figure 3.2",
    "{eq}`eq-x`": "(3.1)",
    "{ref}`there`": "A place",
    "{ref}`here <there>`": "here",
    "$a<b$": r"\(a&lt;b\)",
    ":::{admonition} Predict\n:class: note\nHow *much*?\n:::": 'class="box note"',
    ":::{warning}\nNo.\n:::": "Warning",
    "[a](02_x.ipynb)": '<a href="02_x.html">a</a>',
    "[a](glossary.md)": "<a>a</a>",
    "```{figure} a.svg\n:name: fig-y\n:alt: Words\nSee.\n```":
        '<img src="a.svg" alt="Words"><figcaption><strong>Figure 3.2</strong> See.',
    "```python\ndef f(): pass\n```": 'class="highlight"',
}.items(), ids=lambda text: text[:20])
def test_what_myst_writes_its_own_way_becomes_html(write, source, shown):
    assert shown in write(source)


@pytest.mark.parametrize("source, named", [
    ("{strange}`x`", "{strange}"),
    (":::{tabs}\n:::", "{tabs}"),
    ("{numref}`fig-nowhere`", "fig-nowhere"),
    ("{cite:p}`nobody`", "nobody"),
])
def test_what_the_slides_do_not_know_is_an_error(write, source, named):
    with pytest.raises(ValueError, match=re.escape(named)):
        write(source)


def marked(cell, kind):
    cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def test_slides_are_the_marked_cells_under_the_names_of_their_sections(write):
    code = new_code_cell("draw()", metadata={"tags": ["hide-input"]})
    code.outputs = [new_output("display_data", {"image/png": "AAAA"})]
    notebook = slides.slides_of(new_notebook(cells=[
        marked(new_markdown_cell("# Title"), "slide"),
        marked(new_markdown_cell("## Section\n\nLong."), "skip"),
        marked(code, "subslide"),
        new_markdown_cell("Not marked."),
        marked(new_markdown_cell("## Next"), "slide"),
    ]), write.names, write)
    shown = [cell.source for cell in notebook.cells]
    assert shown == ["# Title", '<p class="where">Title · Section</p>', "draw()",
                     '<p class="where">Title</p>', "## Next"]
    assert [slides.slide_type(cell) for cell in notebook.cells] == [
        "slide", "subslide", "-", "slide", "-"]
    assert notebook.cells[2].metadata.transient.remove_source
    assert "base64,AAAA" in notebook.cells[2].outputs[0].data["text/html"]


def test_a_chapter_without_slides_is_an_error(write):
    with pytest.raises(ValueError, match="slideshow.slide_type"):
        slides.slides_of(new_notebook(cells=[new_markdown_cell("# Title")]), write.names, write)


def test_missing_scripts_are_named(tmp_path):
    with pytest.raises(SystemExit, match="tools/vendor.py"):
        slides.copy_scripts(tmp_path / "to", vendor=tmp_path)


def test_a_deck_fits_the_screen_and_asks_no_other_host(browser, tmp_path, monkeypatch):
    if not (slides.VENDOR / ".slides").is_dir():
        pytest.skip("the scripts are not here: run `make book` first")
    chapter = next(path for path in CHAPTERS if path.stem == "11_fixed")
    monkeypatch.setattr("sys.argv", ["slides", str(chapter), "--to", str(tmp_path / "decks")])
    slides.main()
    page = browser.new_page(viewport={"width": 1280, "height": ROOM})
    problems = []
    page.on("request", lambda request: (
        None if request.url.startswith(("file:", "data:", "blob:")) else
        problems.append(f"asked another host: {request.url}")))
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((tmp_path / "decks" / "11_fixed.html").as_uri(), wait_until="load")
    page.wait_for_function("() => document.querySelectorAll('.widget-slider').length === 4")
    page.wait_for_function("() => document.querySelectorAll('mjx-container').length > 3")
    count = page.evaluate("Reveal.getTotalSlides()")
    assert 10 <= count <= 15
    for number in range(count):
        height, scale, low = page.evaluate("""async (number) => {
          const { h, v } = Reveal.getIndices(Reveal.getSlides()[number]);
          Reveal.slide(h, v, 99);
          const slide = Reveal.getCurrentSlide();
          await Promise.all([...slide.querySelectorAll("img")].map((image) => image.decode()));
          await new Promise((done) => setTimeout(done, 50));
          const tall = [...slide.querySelectorAll("figure > img")].filter(
            (image) => image.naturalHeight > 1.3 * image.naturalWidth);
          const low = tall.filter((image) => image.clientHeight < 0.75 * slide.scrollHeight);
          return [slide.scrollHeight, Number(slide.style.getPropertyValue("--scale")), low.length];
        }""", number)
        assert not low, f"on slide {number + 1}, a tall picture is drawn small"
        assert height <= ROOM and scale >= SMALLEST, f"slide {number + 1} does not fit"
    page.close()
    assert problems == []
