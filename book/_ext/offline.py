"""Let pages load nothing from another host: formulas and widgets come from the book.

``tools/vendor.py`` (which ``make book`` runs) puts the scripts into the folder
``_vendor``. Where it is there, its content is copied into the built book and the
pages point to it. Where it is not, the theme's defaults stay: the book builds all
the same, but its formulas and widgets then need an internet connection.
"""

from pathlib import Path

from sphinx.util import logging

VENDOR = Path(__file__).resolve().parents[2] / "_vendor"
logger = logging.getLogger(__name__)


def use_vendored_scripts(app, config):
    if not (VENDOR / ".ready").is_file():
        # not a warning: a plain `jupyter-book build .` is fine, and -W must pass
        logger.info(
            "notice: no vendored scripts; formulas and widgets will be loaded over the internet,"
            " and the playground is left out. `make book`, or `python tools/vendor.py` and `python"
            " tools/playground.py`, makes the pages work offline."
        )
        return
    config.html_extra_path = [*config.html_extra_path, str(VENDOR)]
    # These paths are relative to the built book's _static folder.
    config.mathjax_path = "../vendor/mathjax/tex-mml-chtml.js"
    config.nb_ipywidgets_js = {
        "../vendor/widgets/require.js": {},
        "../vendor/widgets/paths.js": {},
        # A widget that is in none of the scripts is looked for here, in a folder
        # that does not exist, rather than on another host.
        "../vendor/widgets/embed-amd.js": {"data-jupyter-widgets-cdn": "vendor/not-here/"},
    }


def remove_thebe(app, pagename, templatename, context, doctree):
    """Jupyter Book puts the address of Thebe's script, on another host, into every page.

    This book does not use Thebe, so its scripts only cost; one is even there twice,
    which the browser reports as an error.
    """
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe"
        not in f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', '')}".lower()
    ]


def setup(app):
    # before Sphinx checks html_extra_path (priority 800) and myst-nb reads its settings
    app.connect("config-inited", use_vendored_scripts, priority=100)
    # after every other extension has added its scripts
    app.connect("html-page-context", remove_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
