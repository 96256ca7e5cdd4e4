"""A headless Chromium on the built book: fixtures for the tests of its pages.

The tests that ask for them are skipped, with the reason, where there is no Chromium, or no built
book that is newer than its sources. `.ci/run` has both.
"""

import contextlib
import sys
import threading
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "_build" / "html"
AXE = ROOT / "_vendor" / ".tests" / "axe.min.js"  # tools/vendor.py fetches it
sys.path.insert(0, str(ROOT / "tools"))
from chromium import ARGUMENTS, find_chromium  # noqa: E402

# Two scripts of the theme declare one name, and on a reader's first visit it finds no mode stored;
# nothing comes of either.
ALLOWED = ("Identifier 'DOCUMENTATION_OPTIONS' has already been declared", "Got invalid theme mode")


# What axe-core finds in the theme's own parts, by rule: the element, and why it stays.
OF_THE_THEME = {
    "label-content-name-mismatch": (
        ".search-button-field",
        "the theme's button reads “Search Ctrl+K”, and is named Search",
    ),
    "region": (
        ".sidebar-primary-item",
        "the theme's logo and search field in the side bar are in no landmark",
    ),
}


# Most of a page's elements are words of code, each colored by its kind. Blocks of code in which
# every word looks like one in an earlier block have the same contrasts.
MARK_ALIKE = """() => {
    const seen = new Set();
    for (const block of document.querySelectorAll('.highlight')) {
        let behind = '', fresh = false;
        for (let outer = block.parentElement; outer; outer = outer.parentElement)
            behind += getComputedStyle(outer).backgroundColor + getComputedStyle(outer).opacity;
        for (const element of [block, ...block.querySelectorAll('*')]) {
            const style = getComputedStyle(element);
            const look = [style.color, style.backgroundColor, style.fontSize, style.fontWeight,
                          style.opacity, behind].join();
            fresh ||= !seen.has(look);
            seen.add(look);
        }
        block.toggleAttribute('data-alike', !fresh);
    }
}"""
OF_COLOR = ("color-contrast", "link-in-text-block")


def violations(page, only_color=False):
    """What axe-core finds wrong in a page, one line for each kind and element.

    What is the theme's own is left out.

    only_color: for a page that was looked at already, in other colors
    """
    page.evaluate(AXE.read_text(encoding="utf-8"))
    page.evaluate(MARK_ALIKE)
    found = page.evaluate(
        """async ([onlyColor, ofColor]) => {
            const unlike = {exclude: ['[data-alike]']};
            const off = Object.fromEntries(ofColor.map(rule => [rule, {enabled: false}]));
            const runs = [await axe.run(unlike, {runOnly: ofColor})];
            if (!onlyColor) runs.push(await axe.run(document, {rules: off}));
            return runs.flatMap(({violations}) => violations).flatMap(({id, help, nodes}) =>
                nodes.map(({target}) => [id, help, String(target)]));
        }""",
        [only_color, OF_COLOR],
    )

    def of_the_theme(rule, target):
        selector = OF_THE_THEME.get(rule, ("",))[0]
        return bool(selector) and page.evaluate(
            "([target, selector]) => document.querySelector(target)?.closest(selector) !== null",
            [target, selector],
        )

    return [
        f"{rule}: {words}: {target}"
        for rule, words, target in found
        if not of_the_theme(rule, target)
    ]


PHONE, DESKTOP = 390, 1280  # pixels
# The theme makes what scrolls a stop of the Tab key, and looks again a moment after a resize.
TAB_STOPS_FIT = """() => [...document.querySelectorAll(
    'pre, .nboutput > .output_area, .cell_output > .output, .jp-RenderedHTMLCommon,' +
    ' .pst-scrollable-table-container')].every(area => area.tabIndex === (
        area.scrollWidth > area.clientWidth || area.scrollHeight > area.clientHeight ? 0 : -1))"""


IN_SIGHT = """() => [...document.querySelectorAll('*')].map(
    element => Number(element.checkVisibility())).join('')"""


def violations_in_every_look(page):
    """What :func:`violations` finds on a phone and on a desktop, in light and dark colors.

    The page has been loaded as wide as a phone. It is loaded no second time, which would take as
    long as axe-core does; afterwards it is as wide as a desktop.
    """
    found = []
    for width in (PHONE, DESKTOP):
        if page.viewport_size["width"] != width:
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function(TAB_STOPS_FIT)
        before = None
        for theme in ("light", "dark"):
            page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            last, before = before, page.evaluate(IN_SIGHT)
            lines = violations(page, only_color=before == last)
            found += [f"{theme}, {width}: {line}" for line in lines]
    return found


def why_not_built():
    """Why there is no built book to test, or None."""
    if not (BUILT / "genindex.html").is_file():
        return "the book is not built: run `make book` first"
    built = (
        (BUILT / "genindex.html").stat().st_mtime
    )  # every build writes it anew, but not index.html
    sources = [
        path
        for folder in ("book", "tools")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and ".ipynb_checkpoints" not in path.parts
    ]
    newer = [path for path in sources if path.stat().st_mtime > built]
    return (
        f"the book was built before {newer[0].relative_to(ROOT)} changed: run `make book` first"
        if newer
        else None
    )


@pytest.fixture(scope="session")
def book_url():
    """The address of a server that shows the built book, without the final slash."""
    if reason := why_not_built():
        pytest.skip(reason)
    from serve import Handler
    # It ends with this process: waiting for a server to shut down has no limit of time.
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=BUILT))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"


@contextlib.contextmanager
def ended_after(seconds):
    """End what the block has started at last, at most that many seconds after the block's end.

    Closing a browser waits for its processes, and Playwright's own process may wait for ever: after
    all tests have passed, the run would fail.

    Yields:
        a function to call where the closing begins
    """
    this = psutil.Process()
    before = set(this.children(recursive=True))
    timers = []

    def closing():
        ours = set(this.children(recursive=True)) - before

        def kill():
            for process in ours:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

        timers.append(threading.Timer(seconds, kill))
        timers[-1].start()

    try:
        yield closing
    finally:
        for timer in timers:
            timer.cancel()


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, by Playwright."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium found: install it, or name it in the variable CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api")
    with ended_after(60) as closing, playwright.sync_playwright() as started:
        with_browser = started.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield with_browser
        closing()
        with contextlib.suppress(playwright.Error):  # killed while it was closing
            with_browser.close()


@pytest.fixture
def open_page(browser, book_url):
    """A function that opens a page of the book and returns it.

    ``page.problems`` lists what went wrong in it. Every request to another host is refused, and is
    a problem; so is a request that fails, a console error and an exception that no script caught.
    """
    contexts = []

    def open_it(path="", wait_until="load", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.problems = []

        def route(request):
            if request.request.url.startswith((book_url, "data:", "blob:")):
                return request.continue_()
            page.problems.append(f"asked another host: {request.request.url}")
            return request.abort()

        def note(text):
            if not any(known in text for known in ALLOWED):
                page.problems.append(text)

        context.route("**/*", route)
        page.on("console", lambda message: note(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: note(str(error)))
        page.on(
            "response",
            lambda response: (
                note(f"{response.status}: {response.url}") if response.status >= 400 else None
            ),
        )
        page.on("requestfailed", lambda request: note(f"failed: {request.url}"))
        page.goto(f"{book_url}/{path}", wait_until=wait_until)
        return page

    yield open_it
    for context in contexts:
        context.close()
