"""What the theme's pages lack, and what they have too much of."""

import re
from pathlib import Path

VIEW = '<script type="application/vnd.jupyter.widget-view+json">'
NOTE = "<noscript><p>Sliders need JavaScript. The picture above shows one of their settings.</p></noscript>"
# It draws the icons that the theme's style sheet draws as well, and weighs as much as the rest of the theme.
ICONS = re.compile(r'\s*<script [^>]*src="[^"]*/fontawesome\.js[^"]*"></script>')


def explain_sliders(app, pagename, templatename, context, doctree):
    """Say what is missing to a reader whose browser runs no scripts."""
    if "body" in context:
        context["body"] = context["body"].replace(VIEW, NOTE + VIEW)


def remove_icon_script(app, exception):
    if exception is None and app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            if ICONS.search(text):
                page.write_text(ICONS.sub("", text), encoding="utf-8")


def setup(app):
    app.connect("html-page-context", explain_sliders)
    app.connect("build-finished", remove_icon_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
