"""The whole book as one PDF: the built pages, printed by Chromium and bound together.

    python tools/pdf.py                      _build/html becomes _build/book.pdf
    python tools/pdf.py --book FOLDER --to FILE

The pages are printed by their own print style: without side bars, with each slider as the picture
that it shows first, and without solutions, because a PDF is handed out. The page for instructors,
which gives answers away, is left out too. Links between pages lead to the right place in the PDF,
and its outline has the sections.

It needs a built book (``make book``), Chromium, Playwright and pypdf, and names what is missing.
"""

import argparse
import contextlib
import functools
import html
import io
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

import yaml
from chromium import ARGUMENTS, NAMES, find_chromium
from serve import Handler

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "_build" / "html"
TARGET = ROOT / "_build" / "book.pdf"
LEFT_OUT = "book/instructors"  # it tells what students get wrong, and so what is right
OLDEST = 131  # the first Chromium that prints numbers in the margin
SECONDS = 60  # for one page of the book to be ready

PAPER = """
@page { size: A4; margin: 19mm 17mm 21mm; }
@page { @bottom-center { content: "NUMBER"; font: 9pt sans-serif; color: #444; } }
html { counter-reset: page START; }
"""
# Everything that comes late: pictures that wait to be seen, formulas, sliders.
READY = """async () => {
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
  await document.fonts.ready;
}"""
DRAWN = """() => [...document.querySelectorAll('script[type$="widget-view+json"]')].every(
  (view) => view.parentElement.querySelector(".widget-subarea *, .jupyter-widgets *"),
)"""
# Chromium keeps the places of those ids only that a link on the page leads to.
HEADINGS = """() => {
  const article = document.querySelector(".bd-article");
  const list = document.createElement("nav");
  list.style.cssText = "position: absolute; width: 0; height: 0; overflow: hidden";
  for (const { id } of article.querySelectorAll("[id]")) {
    const link = document.createElement("a");
    link.href = "#" + encodeURIComponent(id);
    list.append(link);
  }
  article.append(list);
  const all = [...article.querySelectorAll("h1, h2, h3")];
  return all.filter((heading) => heading.closest("section")).map((heading) => {
    const copy = heading.cloneNode(true);
    for (const mark of copy.querySelectorAll(".headerlink, mjx-assistive-mml")) mark.remove();
    const formula = (box) => box.getAttribute("data-tex") ?? box.textContent;
    for (const box of copy.querySelectorAll("mjx-container")) box.replaceWith(formula(box));
    return [Number(heading.tagName[1]), copy.textContent.trim(), heading.closest("section").id];
  });
}"""


class Missing(Exception):
    """Something that the PDF needs is not on this machine; the message says what to do."""


def need():
    """Import what is not part of every installation, and find Chromium."""
    try:
        import pypdf
        from playwright import sync_api
    except ImportError as error:
        raise Missing(
            f"the Python package {error.name} is missing; expected playwright and pypdf. Install"
            f" them: {Path(sys.executable).name} -m pip install playwright pypdf"
        ) from None
    chromium = find_chromium()
    if chromium is None:
        raise Missing(
            f"found no Chromium; expected {', '.join(NAMES)} on the PATH, or its place in the"
            " variable CHROMIUM. Install it with your system's packages (on Debian and Ubuntu:"
            " apt-get install chromium)"
        )
    return sync_api, pypdf, chromium


def pages_of(toc):
    """The names of the book's pages, in order, as [part, name]; the first has no part."""
    pages = [["", toc["root"]]]
    for part in toc.get("parts", []):
        pages += [[part.get("caption", ""), chapter["file"]] for chapter in part["chapters"]]
    return [[part, name] for part, name in pages if name != LEFT_OUT]


class Printer:
    """A browser that prints pages of the built book, and remembers what they hold."""

    def __init__(self, browser, address):
        self.address = address
        self.page = browser.new_page(viewport={"width": 1000, "height": 1400}, color_scheme="light")
        self.page.emulate_media(media="print")
        self.page.set_default_timeout(1000 * SECONDS)

    def chapter(self, name, start):
        """A page of the book as a PDF whose first page has the number start + 1."""
        self.page.goto(f"{self.address}/{name}.html", wait_until="load")
        self.page.evaluate(READY)
        self.page.wait_for_function(DRAWN)
        self.page.wait_for_timeout(100)  # a slider draws its picture in a turn of its own
        headings = self.page.evaluate(HEADINGS)
        return self.printed(start), headings

    def front(self, content):
        self.page.goto(f"{self.address}/book/front", wait_until="commit")
        self.page.set_content(content)
        return self.printed(None)

    def printed(self, start):
        style = PAPER.replace('"NUMBER"', "none" if start is None else "counter(page)")
        self.page.add_style_tag(content=style.replace("START", str(start or 0)))
        return self.page.pdf(prefer_css_page_size=True, print_background=True)


def front_page(config, contents):
    """The title and the list of contents; contents has [part, name, title, number of the page]."""
    rows, part = [], ""
    for each, name, title, number in contents:
        if each != part:
            rows.append(f"<h2>{html.escape(each)}</h2>")
            part = each
        rows.append(f'<p><a href="/{name}.html"><span>{html.escape(title)}</span>'
                    f"<span>{number}</span></a></p>")
    return f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><style>
body {{ color: #1c2733; font: 10.5pt/1.4 sans-serif; }}
h1 {{ margin: 45mm 0 8mm; font-size: 30pt; line-height: 1.2; }}
h2 {{ margin: 4mm 0 1mm; font-size: 11.5pt; break-after: avoid; }}
p {{ margin: 0; }}
.list {{ break-before: page; }}
.list a {{ display: flex; justify-content: space-between; color: inherit; text-decoration: none; }}
</style></head><body>
<h1>{html.escape(config["title"])}</h1>
<p>{html.escape(config["author"])}, {html.escape(str(config["copyright"]))}</p>
<p>Solutions are left out. The pages of the book on the web have them, and sliders that move.</p>
<div class="list">{"".join(rows)}</div></body></html>"""


def places(pypdf, reader, first):
    """Where the ids of a PDF are: (number of the page in the bound book, left, top)."""
    found = {}
    for name, target in reader.named_destinations.items():
        number = reader.get_destination_page_number(target)
        if number is not None and number >= 0:
            found[unquote(str(name).lstrip("/"))] = (first + number, target.left, target.top)
    return found


def bind(pypdf, parts, address, title):
    """Join PDFs to one. Parts are [name of the page, PDF, headings], the front page first.

    Links between the pages become links within the PDF.
    """
    writer, starts, known = pypdf.PdfWriter(), {}, {}
    owners = []  # of each page of the PDF, the page of the book
    for name, content, _ in parts:
        reader = pypdf.PdfReader(io.BytesIO(content))
        starts[name] = len(writer.pages)
        known[name] = places(pypdf, reader, len(writer.pages))
        for page in reader.pages:
            writer.add_page(page)
            owners.append(name)
    for owner, page in zip(owners, writer.pages, strict=True):
        for link in (each.get_object() for each in page.get("/Annots", [])):
            place = aim(link, owner, address, starts, known)
            if place is not None:
                lead(pypdf, writer, link, place)
            elif address in str(link.get("/A", "")):  # to a page that is left out
                del link["/A"]
    for name, _, headings in parts:
        above = {}
        for level, text, label in headings:
            number, left, top = known[name].get(label, (starts[name], 0, None))
            fit = pypdf.generic.Fit.xyz(left=left, top=top) if top else pypdf.generic.Fit.fit()
            parent = above.get(level - 1)
            above[level] = writer.add_outline_item(
                title=text, page_number=number, parent=parent, fit=fit
            )
    writer.add_metadata({"/Title": title})
    writer.compress_identical_objects()
    return writer


def aim(link, owner, address, starts, known):
    """Where a link of a page leads in the bound book; None if it leads out of it."""
    action = link.get("/A", {}).get_object() if "/A" in link else {}
    inside = link.get("/Dest", action.get("/D"))
    if isinstance(inside, str):
        return known[owner].get(unquote(str(inside).lstrip("/")))
    target, label = urldefrag(str(action.get("/URI", "")))
    if not target.startswith(f"{address}/"):
        return None
    name = target[len(address) + 1:].removesuffix(".html")
    if name not in starts:
        return None
    return known[name].get(unquote(label), (starts[name], 0, None))


def lead(pypdf, writer, link, place):
    """Let a link lead to a place in the bound book."""
    from pypdf.generic import ArrayObject, FloatObject, NameObject, NullObject

    number, left, top = place
    top = NullObject() if top is None else FloatObject(top)
    link.pop("/A", None)
    link[NameObject("/Dest")] = ArrayObject([
        writer.pages[number].indirect_reference, NameObject("/XYZ"), FloatObject(left or 0), top,
        NullObject(),
    ])


@contextlib.contextmanager
def served(folder):
    """The address of a server that shows a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def make(book, target, pages, config):
    """Print the pages of a built book and bind them. Returns the number of pages."""
    sync_api, pypdf, chromium = need()
    with served(book) as address, sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        if int(browser.version.split(".")[0]) < OLDEST:
            raise Missing(f"Chromium is {browser.version}; expected {OLDEST} or newer, which can"
                          " print page numbers. Update it, or name another one in CHROMIUM")
        printer = Printer(browser, address)
        contents = [[*page, page[1], 0] for page in pages]
        length = len(pypdf.PdfReader(io.BytesIO(printer.front(front_page(config, contents)))).pages)
        parts, contents = [], []
        for part, name in pages:
            content, headings = printer.chapter(name, length)
            contents.append([part, name, headings[0][1] if headings else name, length + 1])
            length += len(pypdf.PdfReader(io.BytesIO(content)).pages)
            parts.append([name, content, headings])
            print(f"{length:4} pages, up to {name}", flush=True)
        front = printer.front(front_page(config, contents))
        browser.close()
        writer = bind(pypdf, [["front", front, []], *parts], address, config["title"])
    writer.write(target)
    return length


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--book", type=Path, default=BOOK, help="the folder of the built book")
    parser.add_argument("--to", type=Path, default=TARGET, help="the PDF to write")
    arguments = parser.parse_args()
    config, toc = (yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
                   for name in ("_config.yml", "_toc.yml"))
    pages = pages_of(toc)
    lacking = [name for _, name in pages if not (arguments.book / f"{name}.html").is_file()]
    if lacking:
        sys.exit(f"pdf: {arguments.book} has no {lacking[0]}.html; expected a built book."
                 " Build it: make book")
    try:
        length = make(arguments.book, arguments.to, pages, config)
    except Missing as error:
        sys.exit(f"pdf: {error}.")
    print(f"PDF        {arguments.to} ({length} pages, {arguments.to.stat().st_size / 1e6:.0f} MB)")


if __name__ == "__main__":
    main()
