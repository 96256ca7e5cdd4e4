"""The directive ``{playground} PART``: puts ``book/_playground/parts/PART.html`` into a page.

Scripts and styles of the playground are copied to the folder ``playground`` of the built book,
beside the networks that ``tools/playground.py`` makes. They are not in ``_static``, whose scripts
every page would load. The part ``records`` is no file but a table of what is recorded of these
networks, made while the book is built; it is there without JavaScript and without a server.
"""

import json
import shutil
import sys
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "book" / "_playground"
sys.path.insert(0, str(ROOT / "tools"))
import playground  # noqa: E402

logger = logging.getLogger(__name__)
CONTENTS = playground.TARGET / "playground.json"
TITLES = {
    "baseline": "Baseline, no protection",
    "fixed": "Fixed key",
    "learned": "Learned perturbation",
    "generator": "Generator",
    "mended": "Fixed key, mended lock",
}
MISSING = """\
<div class="admonition warning">
<p class="admonition-title">The playground is not part of this copy of the book</p>
<p>Its networks were not there when the pages were built. <code>make book</code> makes them; so do
<code>python tools/vendor.py</code> and <code>python tools/playground.py</code> before the book is
built.</p></div>"""


class Playground(SphinxDirective):
    required_arguments = 1

    def run(self):
        part = self.arguments[0]
        if part == "records":
            return [nodes.raw("", records_table(), format="html")]
        if not CONTENTS.is_file():
            if part != "board":
                return []
            if playground.ENGINE.is_dir():  # otherwise offline.py has said it
                # not a warning: a plain `jupyter-book build .` is fine, and -W must pass
                logger.info(
                    "notice: the networks of the playground are missing, and its page says so. "
                    "`python tools/playground.py` makes them."
                )
            return [nodes.raw("", MISSING, format="html")]
        html = (SOURCE / "parts" / f"{part}.html").read_text(encoding="utf-8")
        self.env.note_dependency(str(SOURCE / "parts" / f"{part}.html"))
        contents = json.loads(CONTENTS.read_text(encoding="utf-8"))
        first = next(network for network in contents["networks"] if network["name"] == "fixed")
        loads = [first, contents["images"], *contents["engine"].values()]
        for name, value in {
            "FOLDER": "../" * self.env.docname.count("/") + "playground/",
            "COMPRESSED": megabytes(sum(file["compressed"] for file in loads)),
            "UNPACKED": megabytes(sum(file["bytes"] for file in loads)),
            "MORE": megabytes(max(network["compressed"] for network in contents["networks"])),
            "SIGMA": str(contents["sigma"]),
            "P": str(contents["p"]),
        }.items():
            html = html.replace(f"%{name}%", value)
        return [nodes.raw("", html, format="html")]


def megabytes(count):
    return f"{count / 1e6:.1f} MB"


def records_table():
    """The recorded accuracies of the playground's networks, as an HTML table."""
    rows, counts = [], set()
    for transform in playground.TRANSFORMS:
        test = playground.recorded(transform)["came_out"]["test"]
        cells = [
            share(test[what]) if what in test else "–" for what in ("authorized", "unauthorized")
        ]
        if "accuracy" in test:  # a baseline knows no difference
            cells = [share(test["accuracy"])] * 2
        counts |= {f"{part['images']:,}" for part in test.values()}
        columns = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(TITLES[transform])}</th>{columns}</tr>')
    return (
        '<table class="table playground-records"><caption>Recorded accuracies in %, each on '
        f"{' or '.join(sorted(counts))} test images, with 95% intervals</caption>"
        '<thead><tr><th scope="col">network</th><th scope="col">authorized</th><th'
        ' scope="col">unauthorized</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def share(test):
    low, high = test["interval"]
    return f"{100 * test['accuracy']:.1f} <small>({100 * low:.1f}–{100 * high:.1f})</small>"


def always_anew(app, env, added, changed, removed):
    """The page shows what lies in _vendor, which Sphinx does not watch."""
    return [name for name in env.found_docs if name.endswith("playground")]


def copy_scripts(app, exception):
    if exception is None and app.builder.format == "html":
        shutil.copytree(SOURCE, Path(app.outdir) / "playground", dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("parts", "package.json", ".*"))


def setup(app):
    app.add_directive("playground", Playground)
    app.connect("env-get-outdated", always_anew)
    app.connect("build-finished", copy_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
