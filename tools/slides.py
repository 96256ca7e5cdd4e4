"""Slides: one deck for each chapter, from the cells that are marked as slides.

    python tools/slides.py                       every chapter
    python tools/slides.py book/11_fixed.ipynb   this one

They are written to ``_build/slides``, with a page that lists them. A cell is on a slide if its
metadata ``slideshow.slide_type`` says so: ``slide`` and ``subslide`` begin one, ``fragment`` is
uncovered by the next key, and ``skip``, or nothing, leaves the cell out. The decks are made by
nbconvert and shown by reveal.js; the scripts lie beside them (``tools/vendor.py`` fetches them), so
that no other host is asked and the folder can be carried to the lecture room as it is.

What MyST writes its own way (boxes, figures, terms, citations) is turned into HTML here, because
nbconvert knows plain Markdown only.
"""

import argparse
import copy
import html
import re
import shutil
import sys
from functools import cached_property
from pathlib import Path

import nbformat
import pygments
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from nbconvert import SlidesExporter
from pybtex.database import parse_file
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
DECK = ROOT / "tools" / "deck"
VENDOR = ROOT / "_vendor"
TARGET = ROOT / "_build" / "slides"

VIEW = "application/vnd.jupyter.widget-view+json"
LINES_BESIDE_A_FIGURE = 6
NEW = ("slide", "subslide")  # these begin a slide
SHOWN = (*NEW, "fragment", "-")  # on a slide at all
BOXES = ("admonition", "note", "warning", "important", "tip", "exercise", "dropdown")
DIRECTIVE = re.compile(r"\{([\w:-]+)\}[ \t]*(.*)")
FIGURE = re.compile(r"^[`:]{3,}\{figure\}.*\n(?::\w+:.*\n)*?:name: (\S+)", re.M)
EXERCISE = re.compile(r"\{exercise\} ?(.*)\n:label: (\S+)")
OPTION = re.compile(r":([\w-]+):[ \t]*(.*)")


def slide_type(cell):
    """What the metadata of a cell say about slides; None if they say nothing."""
    return cell.metadata.get("slideshow", {}).get("slide_type")


class Names:
    """What the book's labels stand for: numbers of figures and formulas, titles, citations."""

    def __init__(self, book=BOOK):
        self.book = book

    @cached_property
    def cited(self):
        """Authors and year of each entry of the bibliography."""
        entries = {}
        for key, entry in parse_file(str(self.book / "references.bib")).entries.items():
            names = [" ".join(str(part) for part in person.rich_last_names)
                     for person in entry.persons.get("author", [])]
            names = names or [str(entry.rich_fields["title"])]
            who = names[0] if len(names) == 1 else (
                f"{names[0]} and {names[1]}" if len(names) == 2 else f"{names[0]} et al.")
            entries[key] = who, entry.fields.get("year", "")
        return entries

    @cached_property
    def found(self):
        """Each label of the chapters, and what a reader reads in its place."""
        labels = {}
        for path in sorted(self.book.glob("[0-9]*.ipynb")):
            number, figures, formulas = int(path.stem[:2]), 0, 0
            for cell in nbformat.read(path, as_version=4).cells:
                if name := cell.metadata.get("mystnb", {}).get("figure", {}).get("name"):
                    figures += 1
                    labels[name] = f"Figure {number}.{figures}"
                if cell.cell_type != "markdown":
                    continue
                for name in FIGURE.findall(cell.source):
                    figures += 1
                    labels[name] = f"Figure {number}.{figures}"
                for name in re.findall(r"^\$\$ \((\S+)\)$", cell.source, re.M):
                    formulas += 1
                    labels[name] = f"({number}.{formulas})"
                for name, title in re.findall(r"^\(([\w-]+)\)=\n+#+ (.+)$", cell.source, re.M):
                    labels[name] = title
                for title, name in EXERCISE.findall(cell.source):
                    labels[name] = title or "the exercise"
        return labels

    def label(self, name):
        try:
            return self.found[name]
        except KeyError:
            raise ValueError(
                f"no figure, formula, heading or exercise has the label {name}; expected one that a"
                " chapter defines"
            ) from None

    def cite(self, role, keys):
        """The text of a citation: in the sentence with :t, in parentheses otherwise."""
        texts = []
        for key in (part.strip() for part in keys.split(",")):
            if key not in self.cited:
                raise ValueError(f"nothing in references.bib has the key {key}")
            who, year = self.cited[key]
            texts.append(f"{who} ({year})" if role == "cite:t" else f"{who}, {year}")
        return " and ".join(texts) if role == "cite:t" else f"({'; '.join(texts)})"


class Writer:
    """Turns the MyST of a cell into HTML."""

    def __init__(self, names):
        self.names = names
        self.parser = (
            MarkdownIt("commonmark", {"highlight": highlight})
            .enable("table")
            .use(amsmath_plugin)
            .use(colon_fence_plugin)
            .use(dollarmath_plugin, allow_labels=True, double_inline=True, renderer=formula,
                 label_renderer=self.number)
            .use(myst_block_plugin)
            .use(myst_role_plugin)
        )
        rules = {"colon_fence": self.fence, "fence": self.fence, "myst_role": self.role,
                 "link_open": self.link}
        for name, rule in rules.items():  # markdown-it binds each rule to its renderer
            self.parser.add_render_rule(name, lambda _, *given, rule=rule: rule(*given))
        self.parser.add_render_rule("myst_target", lambda *_: "")
        self.parser.add_render_rule("amsmath", lambda _, tokens, place, *rest: (
            f"<p>{html.escape(tokens[place].content)}</p>"))

    def __call__(self, source):
        return self.parser.render(source)

    def number(self, label):
        return f'<span class="eqno">{html.escape(self.names.label(label))}</span>'

    def role(self, tokens, place, options, env):
        name, content = tokens[place].meta["name"], tokens[place].content
        shown = re.fullmatch(r"(.*?)\s*<(.+)>", content, re.S)
        text, target = (shown[1], shown[2]) if shown else (None, content)
        if name == "term":
            return html.escape(text or target)
        if name in ("numref", "ref", "eq"):
            return html.escape(text or self.names.label(target))
        if name in ("cite", "cite:p", "cite:t"):
            return html.escape(self.names.cite(name, content))
        raise ValueError(f"the slides do not know the role {{{name}}}; add it to Writer.role")

    def link(self, tokens, place, options, env):
        target = tokens[place].attrGet("href") or ""
        page = re.fullmatch(r"([\w./-]+)\.(?:ipynb|md)(#.*)?", target)
        if page:  # the deck of that chapter, or nothing where there is none
            if re.match(r"\d\d_", page[1]):
                tokens[place].attrSet("href", f"{page[1]}.html")
            else:
                del tokens[place].attrs["href"]
        return self.parser.renderer.renderToken(tokens, place, options, env)

    def fence(self, tokens, place, options, env):
        token = tokens[place]
        directive = DIRECTIVE.fullmatch(token.info.strip())
        if directive is None:
            return highlight(token.content, token.info.strip(), "")
        name, title = directive.groups()
        given, lines = {}, token.content.split("\n")
        while lines and (option := OPTION.fullmatch(lines[0])):
            given[option[1]] = option[2]
            del lines[0]
        body = self("\n".join(lines))
        if name == "figure":
            image = f'<img src="{html.escape(title)}" alt="{html.escape(given.get("alt", ""))}">'
            label = self.names.label(given["name"]) if "name" in given else ""
            return f"<figure>{image}<figcaption>{captioned(label, body)}</figcaption></figure>\n"
        if name in BOXES:
            kind = given.get("class", "") if name == "admonition" else name
            heading = self.parser.renderInline(title or name.capitalize())
            return (f'<div class="box {html.escape(kind)}"><p class="box-title">{heading}</p>\n'
                    f"{body}</div>\n")
        raise ValueError(f"the slides do not know the directive {{{name}}}; skip this cell, or add"
                         " the directive to Writer.fence")


def captioned(label, body):
    """A caption, after the number of its figure."""
    body = re.sub(r"\A\s*<p>(.*)</p>\s*\Z", r"\1", body, flags=re.S)
    return f"<strong>{label}</strong> {body}" if label else body


def formula(content, options):
    marks = (r"\[", r"\]") if options["display_mode"] else (r"\(", r"\)")
    return html.escape(f"{marks[0]}{content}{marks[1]}")


def highlight(code, language, _):
    try:
        lexer = get_lexer_by_name(language or "text")
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    return pygments.highlight(code, lexer, HtmlFormatter())


def slides_of(notebook, names, write):
    """A copy of a chapter that has only its slides, each with a line that says where it is.

    Raises ValueError if the chapter has none.
    """
    notebook, kept = copy.deepcopy(notebook), []
    chapter, section, opened = "", "", False
    for cell in notebook.cells:
        shown = slide_type(cell) in SHOWN
        if cell.cell_type == "markdown" and "{solution-start}" not in cell.source:
            headings = re.findall(r"^(#{1,2}) (.+)$", without_code(cell.source), re.M)
            chapter = next((text for mark, text in headings if mark == "#"), chapter)
            if shown:  # its own headings are on the slide already
                where = section if not headings else ""
            section = next((text for mark, text in headings[::-1] if mark == "##"), section)
        else:
            where = section
        if not shown:
            continue
        if slide_type(cell) in NEW and opened:
            places = [write.parser.renderInline(text) for text in (chapter, where) if text]
            line = nbformat.v4.new_markdown_cell(
                f'<p class="where">{" · ".join(places)}</p>', id=f"where-{cell.id}"[:64],
                metadata={"slideshow": {"slide_type": slide_type(cell)}},
            )
            cell.metadata.slideshow.slide_type = "-"
            kept.append(line)
        opened = True
        kept.append(code(cell, names, write) if cell.cell_type == "code" else cell)
    if not kept:
        raise ValueError(
            "no cell is marked as a slide; expected some with the metadata slideshow.slide_type,"
            " which JupyterLab sets in its property inspector"
        )
    notebook.cells = kept
    notebook.metadata.title = chapter
    return notebook


def without_code(source):
    return re.sub(r"^(`{3,}|:{3,}).*?^\1[ \t]*$", "", source, flags=re.M | re.S)


def code(cell, names, write):
    """A code cell as a slide shows it.

    Folded code and removed outputs are not on the slide. Nor is the code of a slider, or more than
    a few lines that draw a figure: the picture needs the room.
    """
    tags = cell.metadata.get("tags", [])
    kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
    drawn = "image/png" in kinds and len(cell.source.splitlines()) > LINES_BESIDE_A_FIGURE
    if "hide-input" in tags or VIEW in kinds or drawn:
        cell.metadata.transient = {"remove_source": True}
    if "remove-output" in tags:
        cell.outputs = []
    about = cell.metadata.get("mystnb", {})
    figure = about.get("figure", {})
    for output in cell.outputs:
        picture = output.get("data", {}).get("image/png")
        if picture:
            alt = html.escape(about.get("image", {}).get("alt", ""))
            caption = write.parser.renderInline(figure.get("caption", ""))
            label = names.label(figure["name"]) if "name" in figure else ""
            data = re.sub(r"\s", "", picture)
            output.data = nbformat.from_dict({"text/html": (
                f'<figure><img src="data:image/png;base64,{data}" alt="{alt}">'
                f"<figcaption>{captioned(label, caption)}</figcaption></figure>"
            )})
    return cell


def exporter(write):
    return SlidesExporter(
        template_name="deck",
        extra_template_basedirs=[str(DECK.parent)],
        extra_template_paths=[str(DECK)],
        filters={"markdown2html": write},
        reveal_url_prefix="vendor/reveal",
        reveal_theme="deck",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )


def copy_scripts(folder, vendor=VENDOR):
    """Put beside the decks what they load."""
    if not (vendor / ".ready").is_file() or not (vendor / ".slides").is_dir():
        sys.exit(
            "slides: reveal.js and the other scripts are not here; expected them in _vendor."
            " Fetch them: python tools/vendor.py"
        )
    for name in ("mathjax", "widgets"):
        shutil.copytree(vendor / "vendor" / name, folder / "vendor" / name)
    dist = folder / "vendor" / "reveal" / "dist"
    (dist / "theme").mkdir(parents=True)
    for name in ("reveal.js", "reveal.css", "LICENSE"):
        shutil.copy(vendor / ".slides" / name, dist)
    shutil.copy(DECK / "deck.css", dist / "theme")
    shutil.copy(DECK / "deck.js", dist.parent)
    shutil.copy(BOOK / "_static" / "sliders.js", folder / "vendor")
    shutil.copytree(BOOK / "_static", folder / "_static",
                    ignore=shutil.ignore_patterns("*.js", "*.css"))


def index(decks):
    """The page that lists the decks."""
    items = "\n".join(
        f'<li value="{int(name[:2])}"><a href="{name}.html">{html.escape(title)}</a></li>'
        for name, title in decks.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Slides</title>
<style>
body {{ max-width: 42rem; margin: 2rem auto; padding: 0 1rem; font: 1.1rem/1.7 sans-serif; }}
</style>
</head>
<body>
<h1>Slides</h1>
<p>Arrow keys or the space bar go on, Esc shows all slides at once, F fills the screen.</p>
<ol>
{items}
</ol>
</body>
</html>
"""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("chapters", nargs="*", type=Path, help="notebooks (default: all)")
    parser.add_argument("--to", type=Path, default=TARGET, help="the folder to write to")
    arguments = parser.parse_args()
    chapters = arguments.chapters or sorted(BOOK.glob("[0-9]*.ipynb"))
    shutil.rmtree(arguments.to, ignore_errors=True)
    arguments.to.mkdir(parents=True)
    copy_scripts(arguments.to)
    names = Names()
    write = Writer(names)
    export, decks = exporter(write), {}
    for path in chapters:
        try:
            notebook = slides_of(nbformat.read(path, as_version=4), names, write)
            text, _ = export.from_notebook_node(notebook)
        except (OSError, ValueError) as error:
            sys.exit(f"slides: {path.name}: {error}")
        (arguments.to / f"{path.stem}.html").write_text(text, encoding="utf-8")
        decks[path.stem] = notebook.metadata.title
        print(f"{path.stem}: {sum(slide_type(cell) in NEW for cell in notebook.cells)} slides",
              flush=True)
    (arguments.to / "index.html").write_text(index(decks), encoding="utf-8")
    print(f"slides     {arguments.to / 'index.html'}")


if __name__ == "__main__":
    main()
