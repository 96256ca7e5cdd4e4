"""The setting hide_solutions, with which a teacher builds the book without its solutions."""

import io
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = """# A page

:::{exercise}
:label: ex-a
How much is two and two?
:::

:::{solution-start} ex-a
:class: dropdown
:::

It is four.

:::{solution-end}
:::

:::{solution} ex-a
Four, in one piece.
:::

What comes next.
"""


def build(folder, **settings):
    """The HTML of PAGE, built by Sphinx with the book's own extension; warnings are errors."""
    pytest.importorskip("sphinx_exercise")
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    (folder / "index.md").write_text(PAGE)
    warnings = io.StringIO()
    with patch_docutils(folder), docutils_namespace():
        app = Sphinx(
            folder,
            None,
            folder / "out",
            folder / "trees",
            "html",
            status=None,
            warning=warnings,
            confoverrides={
                "extensions": ["myst_parser", "sphinx_exercise", "solutions"],
                "myst_enable_extensions": ["colon_fence"],
                **settings,
            },
        )
        app.build()
    assert warnings.getvalue() == ""
    return (folder / "out" / "index.html").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def own_extensions(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    yield
    sys.modules.pop("solutions", None)


def test_solutions_are_there_by_default(tmp_path):
    page = build(tmp_path)
    assert "two and two" in page and "What comes next." in page
    assert "It is four." in page and "Four, in one piece." in page and 'class="solution' in page


def test_hidden_solutions_leave_nothing_on_the_page(tmp_path):
    page = build(tmp_path, hide_solutions=True)
    assert "two and two" in page and "What comes next." in page
    assert "four" not in page.lower() and 'class="solution' not in page


def test_the_book_uses_the_extension():
    yaml = pytest.importorskip("yaml")
    sphinx = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]
    assert sphinx["local_extensions"]["solutions"] == "book/_ext"
    assert sphinx["config"]["hide_solutions"] is False
