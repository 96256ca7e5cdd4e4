"""Where Chromium is: the tests of the pages and the PDF need it."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")

# Without the last ones Chromium looks for its maker's servers at each start.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium():
    """The path of a Chromium, or None. The variable CHROMIUM names one that is elsewhere."""
    names = (os.environ.get("CHROMIUM"), *NAMES)
    return next(filter(None, (shutil.which(name) for name in names if name)), None)
