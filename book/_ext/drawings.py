"""Put drawings into the page itself, so that they take the page's colours.

    ```{figure} _static/framework.svg
    :figclass: diagram
    :alt: what it shows
    ```

A browser shows an SVG file as a picture that knows nothing of the page: black lines
stay black on a dark page. A figure of the class "diagram" is therefore written into
the page as SVG, where `currentColor` and the colours of book.css work. JupyterLab
shows the same file as a picture.
"""

import re
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util import logging

logger = logging.getLogger(__name__)


def inline_drawings(app, doctree, docname):
    if app.builder.format != "html":
        return
    for figure in list(doctree.findall(nodes.figure)):
        if "diagram" not in figure["classes"]:
            continue
        for image in list(figure.findall(nodes.image)):
            path = Path(app.srcdir) / image["uri"]
            if path.suffix != ".svg":
                logger.warning("a diagram has to be an SVG file, not %s", image["uri"], location=image)
                continue
            svg = path.read_text(encoding="utf-8")
            svg = svg[svg.index("<svg") :]  # without an XML declaration
            # "img" makes it one thing with a description for a screen reader
            label = f'<svg class="diagram" role="img" aria-label="{escape(image.get("alt", ""))}"'
            svg = re.sub(r"<svg\b", lambda match: label, svg, count=1)
            image.replace_self(nodes.raw("", svg, format="html"))


def setup(app):
    app.connect("doctree-resolved", inline_drawings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
