import matplotlib
import matplotlib.pyplot
import pytest
from browser import book_url, browser, open_page  # noqa: F401

# Unit tests draw to memory, never to a window. (Set here and not by MPLBACKEND: the
# notebooks' kernels would inherit that, and then show no figures.)
matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    """No test sees the figures of another one, whatever the order and the module."""
    yield
    matplotlib.pyplot.close("all")
