"""Every page of the built book in a browser.

It loads, its formulas and sliders work, and it fits a phone.
"""

import gzip
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from browser import (
    AXE,
    BUILT,
    DESKTOP,
    OF_THE_THEME,
    PHONE,
    TAB_STOPS_FIT,
    violations,
    violations_in_every_look,
)

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 2_000_000  # of a page with its scripts, fonts and pictures, compressed


def listed(node):
    """The pages of a part of _toc.yml, in order."""
    pages = [node[name] for name in ("root", "file") if name in node]
    return pages + [
        page
        for name in ("parts", "chapters", "sections")
        for child in node.get(name, [])
        for page in listed(child)
    ]


PAGES = [
    *listed(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))),
    "genindex",
    "search",
]
NOT_ORDINARY = {"book/playground"}  # it brings networks, and something to run them with


def check_formulas(page):
    """All formulas are typeset, without an error. (MathJax's promise is kept once it is done.)"""
    formulas = page.locator(".bd-article .math").count()
    if formulas:
        page.evaluate("() => MathJax.startup.promise")
        assert page.locator(".bd-article .math:has(mjx-container)").count() == formulas, (
            "formulas were left as they are typed"
        )
        wrong = page.locator("mjx-merror, [data-mjx-error]").all_inner_texts()
        assert not wrong, f"formulas with errors: {wrong}"


WIDGETS_SHOWN = """() => {
    const type = 'application/vnd.jupyter.widget-view+json';
    return [...document.querySelectorAll(`script[type="${type}"]`)].every(
        view => view.parentElement.querySelector('.jupyter-widgets')?.checkVisibility());
}"""
PICTURE_CHANGED = """([area, old]) => {
    const pictures = [...area.querySelectorAll('img')].filter(picture => picture.checkVisibility());
    return pictures.length === 1 && pictures[0].alt !== old
        && pictures[0].complete && pictures[0].naturalWidth > 0;
}"""


# A formula that is wider than its box, or runs under its own number.
CUT_OFF = """() => [...document.querySelectorAll('div.math')].filter(box => {
    const formula = box.querySelector('mjx-math')?.getBoundingClientRect();
    const end = (box.querySelector('.eqno')?.getBoundingClientRect().left
                 ?? box.getBoundingClientRect().right);
    return formula && formula.right > end + 1;
}).map(box => box.id || box.innerText)"""


def text_beside(handle, selector):
    """The text of another part of a slider: its label, or its readout."""
    return handle.evaluate(
        "(handle, selector) =>"
        " handle.closest('.widget-slider').querySelector(selector).innerText",
        selector,
    )


def check_sliders(page):
    """Every widget is shown.

    The arrow keys move each slider over all its values; each shows a picture of its own.
    """
    page.wait_for_function(WIDGETS_SHOWN)
    for area in page.locator(".widget-subarea:has(img)").element_handles():
        picture = lambda: area.query_selector("img")  # noqa: B023, E731
        for handle in area.query_selector_all("[role=slider]"):
            handle.focus()
            steps = round(float(handle.get_attribute("aria-valuemax")))
            here = round(float(handle.get_attribute("aria-valuenow")))
            seen = {picture().get_attribute("src")}
            name = text_beside(handle, ".widget-label")
            assert name and handle.get_attribute("aria-label") == name
            for key in ["ArrowLeft"] * here + ["ArrowRight"] * steps:
                alt = picture().get_attribute("alt")
                page.keyboard.press(key)
                page.wait_for_function(PICTURE_CHANGED, arg=[area, alt])
                readout = text_beside(handle, ".widget-readout")
                seen.add(picture().get_attribute("src"))
                assert handle.get_attribute("aria-valuetext") == readout, (
                    "a screen reader says another value than is shown"
                )
                assert f"{name} = {readout}" in picture().get_attribute("alt")
            assert len(seen) == steps + 1, (
                f"{steps + 1} settings show {len(seen)} different pictures, the last one: {alt}"
            )


@cache
def compressed(path):
    return len(gzip.compress((BUILT / path).read_bytes()))


def weight(page):
    """Bytes of all files that the browser has loaded for this page, compressed as servers do it."""
    addresses = page.evaluate(
        "() => [location.href, ...performance.getEntriesByType('resource').map(entry =>"
        " entry.name)]"
    )
    paths = {
        unquote(urlsplit(address).path).lstrip("/")
        for address in addresses
        if address.startswith("http")
    }
    return sum(compressed(path) for path in paths)


@pytest.mark.parametrize("name", PAGES)
def test_page(open_page, name):
    """All of it in one test, because to load a page takes as long as to look at it."""
    page = open_page(
        f"{name}.html", viewport={"width": PHONE, "height": 900}, reduced_motion="reduce"
    )
    page.wait_for_function(WIDGETS_SHOWN)
    check_formulas(page)
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= PHONE, f"{name} is {wide} pixels wide on a screen of {PHONE}"
    assert page.evaluate(CUT_OFF) == [], "formulas that a phone cuts off"
    if AXE.is_file():
        assert violations_in_every_look(page) == []
    page.set_viewport_size({"width": DESKTOP, "height": 900})
    page.evaluate("() => document.documentElement.dataset.theme = 'light'")
    check_sliders(page)  # on a desktop
    loaded = weight(page)
    print(f"{name}: {loaded / 1000:,.0f} kB compressed")
    assert name in NOT_ORDINARY or loaded <= MOST_BYTES, (
        f"{name} weighs {loaded:,} bytes; expected at most {MOST_BYTES:,}"
    )
    assert page.problems == []
    if not AXE.is_file():
        pytest.skip("all but axe-core's part: it is not there, run `python tools/vendor.py`")


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_button_of_a_solution_is_seen_however_long_its_title_is(open_page, width):
    size = {"width": width, "height": 900}
    page = open_page("book/07_passwords_and_encryption.html", viewport=size)
    page.wait_for_selector(".solution .toggle-button")
    outside = """() => [...document.querySelectorAll(".solution .toggle-button")].map((it) => {
        const [mine, box] = [it, it.closest(".solution")].map((e) => e.getBoundingClientRect());
        return [mine.top - box.top, box.bottom - mine.bottom, box.right - mine.right];
    })"""
    found = page.evaluate(outside)
    assert len(found) == 4 and min(min(each) for each in found) >= 0, found
    page.locator(".solution .toggle-button").nth(1).click()
    page.locator(".solution").nth(1).locator("div.cell, p").last.wait_for()
    assert min(page.evaluate(outside)[1]) >= 0


def test_a_page_without_scripts_says_what_its_sliders_need(open_page):
    page = open_page("book/11_fixed.html", java_script_enabled=False)
    notes = page.locator("noscript p")
    assert [notes.nth(place).inner_text() for place in range(notes.count())] == [
        "Sliders need JavaScript. Turn it on, or run this chapter as a notebook, to see their"
        " pictures."] * 2
    assert notes.first.is_visible()
    assert page.locator("[role=slider]").count() == 0, "a slider that cannot move"


# What is wrong with it is seen in one of the four looks alone.
HIDDEN = """<!doctype html><html lang="en" data-theme="light"><title>A page</title><style>
p {{ color: #888; background: #fff }} #part {{ display: none }}
@media ({width}) {{ html[data-theme={theme}] #part {{ display: block }} }}</style>
<main><h1>A page</h1><div id="part"><p>Gray on white</p><img src="data:,"></div></main></html>"""
LOOKS = {(PHONE, "light"): "max-width: 600px", (PHONE, "dark"): "max-width: 600px",
         (DESKTOP, "light"): "min-width: 600px", (DESKTOP, "dark"): "min-width: 600px"}


@pytest.mark.parametrize("width, theme", LOOKS)
def test_what_is_wrong_in_one_look_alone_is_found(browser, width, theme):
    page = browser.new_page(viewport={"width": PHONE, "height": 900})
    page.set_content(HIDDEN.format(width=LOOKS[width, theme], theme=theme))
    found = violations_in_every_look(page)
    page.close()
    assert [line.partition(": ")[0] for line in found] == [f"{theme}, {width}"] * 2
    assert {line.split(": ")[1] for line in found} == {"color-contrast", "image-alt"}


def test_what_scrolls_on_a_phone_alone_is_looked_at_again_on_a_desktop(open_page):
    page = open_page("book/01_why.html", viewport={"width": PHONE, "height": 900})
    stops = page.locator("pre[tabindex='0']")
    on_a_phone = stops.count()
    page.set_viewport_size({"width": DESKTOP, "height": 900})
    page.wait_for_function(TAB_STOPS_FIT)
    assert stops.count() < on_a_phone, "nothing changes here: this page shows nothing"


COLORS = """<style>
    body { background: white; color: black } [data-theme=dark] em { color: #111; background: #222 }
</style><main><h1>Looks</h1>"""
CODE = '<div class="highlight"><pre><span>for</span> <em>name</em></pre></div>'
FAINT = '<div class="highlight" style="opacity: 0.3"><pre><span>for</span></pre></div>'


@pytest.mark.parametrize("html, in_light, in_dark", [
    (CODE, 0, 1),
    (CODE * 3, 0, 1),  # the same words again are not looked at again
    (CODE + FAINT + CODE, 1, 2),
    (f"{CODE}<div style='opacity: 0.3'>{CODE}</div>", 2, 3),
])
def test_contrasts_are_looked_at_once_for_each_look(browser, html, in_light, in_dark):
    if not AXE.is_file():
        pytest.skip("axe-core is not there: run `python tools/vendor.py`")
    page = browser.new_page()
    page.set_content(f"<html lang=en><title>Looks</title><body>{COLORS}{html}</main></body></html>")
    found = []
    for theme in ("light", "dark"):
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        found.append([line for line in violations(page) if "color-contrast" in line])
    page.close()
    assert [len(lines) for lines in found] == [in_light, in_dark], found


def test_what_is_the_themes_own_is_still_there(open_page):
    """An entry of the list that finds nothing any more is to go."""
    page = open_page("book/01_why.html", viewport={"width": 1280, "height": 900})
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert set(
        page.evaluate("axe.run().then(({violations}) => violations.map(({id}) => id))")
    ) == set(OF_THE_THEME)


def test_github_pages_shows_the_folders_that_begin_with_an_underscore(book_url):
    assert (BUILT / ".nojekyll").is_file()


def test_no_table_has_a_heading_without_text_and_no_script_is_loaded_in_vain(book_url):
    text = (BUILT / "book" / "references.html").read_text(encoding="utf-8")
    assert "sliders.js" not in text and "doc-biblioentry" not in text and 'role="listitem"' in text
    assert "sliders.js" in (BUILT / "book" / "09_loss.html").read_text(encoding="utf-8")
