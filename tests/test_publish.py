"""What a published book needs: descriptions, a page for wrong addresses, a map of the site."""

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def own_extensions(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    yield
    for name in ("publish", "docstrings"):
        sys.modules.pop(name, None)


def build(folder, **settings):
    """A book of one page, built by Sphinx with the extension; warnings are errors."""
    for needed in ("sphinxext.opengraph", "notfound.extension", "sphinx_sitemap"):
        pytest.importorskip(needed)
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    (folder / "index.md").write_text("# A page\n\nWhat a network is worth, and to whom.\n")
    warnings = io.StringIO()
    with patch_docutils(folder), docutils_namespace():
        app = Sphinx(folder, None, folder / "out", folder / "trees", "html", status=None,
                     warning=warnings, confoverrides={
                         "extensions": ["myst_parser", "publish"], "html_title": "The book",
                         **settings})
        app.build()
    assert warnings.getvalue() == ""
    return folder / "out"


def tags(page):
    return dict(re.findall(r'<meta (?:property|name)="([^"]*)" content="([^"]*)"',
                           page.read_text(encoding="utf-8")))


def test_a_published_book_states_its_address(tmp_path):
    out = build(tmp_path, html_baseurl="https://example.org/me/book")
    found = tags(out / "index.html")
    words = "What a network is worth, and to whom."
    assert found["description"] == found["og:description"] == words
    assert found["og:url"] == "https://example.org/me/book/index.html"
    assert found["og:site_name"] == "The book"
    assert found["og:image"] == "https://example.org/me/book/book.png"
    assert (out / "book.png").read_bytes() == (ROOT / "docs" / "book.png").read_bytes()
    places = [element.text for element in ElementTree.parse(out / "sitemap.xml").iter()
              if element.tag.endswith("loc")]
    assert places == ["https://example.org/me/book/index.html"]
    page = (out / "404.html").read_text(encoding="utf-8")
    assert "There is no such page in this book." in page
    assert 'href="/me/book/index.html"' in page and 'href="index.html"' not in page


def test_a_book_that_is_only_read_at_home_states_none(tmp_path):
    out = build(tmp_path)
    found = tags(out / "index.html")
    assert found["description"] == "What a network is worth, and to whom."
    assert not {"og:url", "og:image"} & set(found)
    assert not (out / "sitemap.xml").exists() and not (out / "book.png").exists()
    assert 'href="/index.html"' in (out / "404.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("url, buttons", [("", None), (None, None),
                                          ("https://example.org/me/book", {"colab_url": "x"})])
def test_without_a_repository_there_are_no_buttons(url, buttons):
    import publish

    options = {"repository_url": url, "launch_buttons": {"colab_url": "x"}}
    config = SimpleNamespace(html_baseurl="", html_title="", html_theme_options=options)
    publish.prepare(None, config)
    assert options.get("launch_buttons") == buttons


def test_the_book_has_one_setting_for_each():
    yaml = pytest.importorskip("yaml")
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert config["html"]["baseurl"] == "" and config["repository"]["url"] == ""
    assert config["repository"]["branch"] == "student"
    buttons = config["launch_buttons"]
    assert buttons["colab_url"] and buttons["binderhub_url"]
    assert config["sphinx"]["local_extensions"]["publish"] == "book/_ext"


# ---- docstrings

def test_arguments_become_a_list():
    import docstrings

    assert docstrings.as_lists([
        "What it does.", "", "one: the first,", "    which goes on.", "two, three: others", "",
        "Raises nothing.", "last: with more,", "    indented.", "Note: not one of them.", "End.",
    ]) == [
        "What it does.", "", "* ``one``: the first,", "  which goes on.", "* ``two``, ``three``: "
        "others", "", "Raises nothing.", "", "* ``last``: with more,", "  indented.",
        "* ``Note``: not one of them.", "", "End.",
    ]


def test_text_with_a_colon_stays_text():
    import docstrings

    lines = ["What it does, in words:", "so much: and no more.", "", "Raises this and", "that."]
    assert docstrings.as_lists(lines) == lines


# ---- how it is cited

def test_the_citation_is_of_this_version():
    yaml = pytest.importorskip("yaml")
    import apdnn_lite

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == apdnn_lite.__version__ and citation["cff-version"] == "1.2.0"
    page = (ROOT / "book" / "citing.md").read_text(encoding="utf-8")
    assert f"version = {{{apdnn_lite.__version__}}}" in page and citation["title"] in page
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(apdnn_lite.__version__)}$", changes, re.M)


# ---- the workflows

def test_the_workflows_try_every_python_of_the_book():
    yaml = pytest.importorskip("yaml")
    from apdnn_lite.experiments.checkup import NEWEST, OLDEST

    tests = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8"))
    matrix = tests["jobs"]["unit"]["strategy"]["matrix"]
    assert matrix["python"] == [f"3.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1)]
    assert [name.split("-")[0] for name in matrix["os"]] == ["ubuntu", "macos", "windows"]
