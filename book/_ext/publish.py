"""What a published book needs besides its pages, by extensions of Sphinx.

Every page gets a description (sphinxext-opengraph), and there is a page for addresses that lead
nowhere (sphinx-notfound-page). Both, and a map of the site for search engines (sphinx-sitemap),
need to know where the book lies: the one setting ``html.baseurl`` in ``_config.yml``. Where it is
empty, as in a book that is built only to be read at home, there is no map, and no page states an
address. The buttons that open a chapter elsewhere need the one setting ``repository``.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "book.png"
ALT = "A page of the book: raw images get wrong answers, the same images with the key right ones"
# What states an address; sphinxext-opengraph writes it without a host if it knows none.
ADDRESSES = re.compile(r'<meta property="og:(?:url|image|image:alt)"[^>]*>\n?')


def prepare(app, config):
    base = (config.html_baseurl or "").rstrip("/")
    config.ogp_social_cards = {"enable": False}
    config.ogp_site_name = config.html_title
    config.notfound_urls_prefix = urlsplit(base).path.rstrip("/") + "/"
    config.notfound_context = {
        "title": "Page not found",
        "body": "<h1>Page not found</h1><p>There is no such page in this book. It may have been "
                "renamed: look for it in the table of contents, or search for it.</p>",
    }
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options.pop("launch_buttons", None)
    if base:
        config.html_baseurl = f"{base}/"
        config.ogp_site_url = config.html_baseurl
        config.ogp_image, config.ogp_image_alt = PICTURE.name, ALT
        config.html_extra_path = [*config.html_extra_path, str(PICTURE)]
        app.setup_extension("sphinx_sitemap")
        config.sitemap_url_scheme = "{link}"
        config.sitemap_excludes = ["404.html", "search.html", "genindex.html"]


def without_addresses(app, pagename, templatename, context, doctree):
    if not app.config.html_baseurl and "metatags" in context:
        context["metatags"] = ADDRESSES.sub("", context["metatags"])


def setup(app):
    app.setup_extension("sphinxext.opengraph")
    app.setup_extension("notfound.extension")
    # before the extensions read their settings
    app.connect("config-inited", prepare, priority=100)
    # after sphinxext-opengraph has written its tags
    app.connect("html-page-context", without_addresses, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
