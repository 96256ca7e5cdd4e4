"""What the theme's pages lack, and what they have too much of."""

import re
from pathlib import Path

VIEW = '<script type="application/vnd.jupyter.widget-view+json">'
NOTE = (
    "<noscript><p>Sliders need JavaScript. Turn it on, or run this chapter as a notebook, to see"
    " their pictures.</p></noscript>"
)
# It draws the icons that the theme's style sheet draws as well, and weighs as much as the rest
# of the theme.
ICONS = re.compile(r'\s*<script [^>]*src="[^"]*/fontawesome\.js[^"]*"></script>')


# A heading without text, such as the corner of a table, is an empty cell.
EMPTY_HEADING = re.compile(r"<th((?: [^>]*)?)>\s*(?:<p>\s*</p>)?\s*</th>")
# myst-nb names every folded cell alike, and not by the words that are seen on it.
FOLDED = re.compile(r'<summary aria-label="[^"]*">')
# docutils names the entries of the bibliography by a role that no longer exists
ENTRY = 'role="doc-biblioentry"'


def mend_body(app, pagename, templatename, context, doctree):
    """Say what is missing where no scripts run, and make sense in a browser that reads aloud."""
    if "body" in context:
        if VIEW in context["body"]:
            app.add_js_file("sliders.js")  # to this page alone
        body = context["body"].replace(VIEW, NOTE + VIEW).replace(ENTRY, 'role="listitem"')
        body = FOLDED.sub("<summary>", body)
        context["body"] = EMPTY_HEADING.sub(r"<td\1></td>", body)


def remove_icon_script(app, exception):
    if exception is None and app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            if ICONS.search(text):
                page.write_text(ICONS.sub("", text), encoding="utf-8")


def setup(app):
    app.connect("html-page-context", mend_body)
    app.connect("build-finished", remove_icon_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
