"""Sliders, without a front end: what is drawn, how it is linked, what a move does in Python."""

import base64
import functools
import io
import re

import ipywidgets
import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

import apdnn_lite as ap
from apdnn_lite import widgets

# ---- sliders


@pytest.fixture(autouse=True)
def no_figure_open():
    """Whatever tests ran before in this process: a figure open afterwards was left open here."""
    plt.close("all")


def test_a_slider_goes_over_its_values():
    slider = widgets.slider("σ", (0.05, 0.1, 0.2), 0.1)
    assert (
        isinstance(slider, ipywidgets.SelectionSlider)
        and slider.value == 0.1
        and slider.description == "σ"
    )
    assert (
        slider.options == (("0.05", 0.05), ("0.1", 0.1), ("0.2", 0.2))
        and not slider.continuous_update
    )
    assert slider.style.description_width == "6rem", "JupyterLab's own width cuts two words off"
    with pytest.raises(
        ValueError, match="the slider 'σ' starts at 0.3, which is not among its values"
    ):
        widgets.slider("σ", (0.05, 0.1, 0.2), 0.3)


def test_a_slider_takes_numbers_that_rounding_moved():
    values = np.arange(0.05, 0.3, 0.05)
    slider = widgets.slider("σ", values, 0.15)
    assert slider.value == values[2] != 0.15 and slider.index == 2
    assert [label for label, _ in slider.options] == ["0.05", "0.1", "0.15", "0.2", "0.25"]
    assert widgets.slider("n", range(3), np.int64(2)).value == 2
    assert type(widgets.slider("n", np.arange(3), 2).value) is int
    for near in (0.1500001, 0.1499999):
        with pytest.raises(ValueError, match="which is not among its values"):
            widgets.slider("σ", values, near)


@pytest.mark.parametrize(
    "values, start",
    [([0.1, float("nan")], 0.1), ([0.1, "0.2"], 0.1), ([0.1], float("inf")), ([0.1], "0.1")],
)
def test_a_slider_refuses_what_is_no_number(values, start):
    with pytest.raises(ValueError, match="of the slider 'σ' must be a finite number"):
        widgets.slider("σ", values, start)


def test_a_slider_needs_values():
    with pytest.raises(ValueError, match="starts at 1, which is not among its values"):
        widgets.slider("n", [], 1)


# ---- explore

brightness = 0  # what draw_square adds: a reader may change such a thing and move a slider again


def draw_square(height, width):
    """A black square, as high
    and ``wide`` as <asked>.

    Only the first paragraph is for who cannot see it.
    """
    figure = plt.figure(figsize=(width, height), dpi=10)
    figure.patch.set_facecolor((brightness, brightness, brightness))
    return figure


def pixels(frame):
    """The picture that an HTML widget shows."""
    content = re.search(r'src="data:image/webp;base64,([^"]+)"', frame.value)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def explored(height=2, width=30):
    """What explore makes of draw_square: sliders, the stack of stacks, the output for messages."""
    sliders = {
        "height": widgets.slider("h", (1, 2, 3), height),
        "width": widgets.slider("w", (20, 30), width),
    }
    box = widgets.explore(draw_square, **sliders)
    assert box.children[:2] == (sliders["height"], sliders["width"])
    return box.children


def test_every_setting_has_a_picture_of_its_own():
    _, _, stack, _ = explored()
    assert isinstance(stack, ipywidgets.Stack) and len(stack.children) == 3
    sizes = [[pixels(frame).shape for frame in inner.children] for inner in stack.children]
    assert sizes == [[(10 * height, 10 * width, 3) for width in (20, 30)] for height in (1, 2, 3)]
    assert plt.get_fignums() == [], "figures are left open"


def test_a_picture_is_what_the_function_draws():
    figure = ap.figures.curve([1, 2], {"one": [3, 4]}, "x", "y")
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    box = widgets.explore(lambda n: figure, n=widgets.slider("n", [1], 1))
    stored = pixels(box.children[1].children[0]).astype(int)
    assert stored.shape == drawn.shape
    assert abs(stored - drawn).max() <= 16, "128 colors are enough for lines on white"


def test_the_picture_at_the_start_is_that_of_the_sliders():
    height, width, stack, _ = explored(height=3, width=20)
    assert stack.selected_index == 2 == height.index
    assert [inner.selected_index for inner in stack.children] == [0, 0, 0] and width.index == 0


def test_the_sliders_are_linked_in_the_browser(monkeypatch):
    links, jslink = [], ipywidgets.jslink
    monkeypatch.setattr(
        ipywidgets, "jslink", lambda source, target: links.append(jslink(source, target))
    )
    height, width, stack, _ = explored()
    assert {(link.source, link.target) for link in links} == {
        ((height, "index"), (stack, "selected_index")),
        *(((width, "index"), (inner, "selected_index")) for inner in stack.children)}


def test_a_picture_says_what_it_shows_to_who_cannot_see_it():
    _, _, stack, _ = explored()
    value = stack.children[1].children[0].value
    assert 'alt="h = 2, w = 20. A black square, as high and wide as &lt;asked&gt;."' in value
    assert 'width="200" height="20"' in value and "max-width: 100%" in value


def test_a_move_draws_only_the_chosen_picture_again(monkeypatch):
    height, width, stack, _ = explored()
    before = [[frame.value for frame in inner.children] for inner in stack.children]
    changed = []
    for row, inner in enumerate(stack.children):
        for column, frame in enumerate(inner.children):
            frame.observe(
                lambda change, place=(row, column): changed.append(place), names="value"
            )
    height.value = 3
    assert changed == [], "nothing else changed, so the picture is the stored one"
    monkeypatch.setattr(f"{__name__}.brightness", 1.0)
    width.value = 20
    assert changed == [(2, 0)]
    assert pixels(stack.children[2].children[0]).min() == 255
    assert stack.children[2].children[1].value == before[2][1], "no other picture changes"
    assert plt.get_fignums() == [], "figures are left open"


def test_explore_refuses_what_it_cannot_show():
    def slider(count):
        return widgets.slider("n", range(count), 0)

    with pytest.raises(
        TypeError, match="width must be a slider made by ap.widgets.slider, got IntSlider"
    ):
        widgets.explore(draw_square, height=slider(2), width=ipywidgets.IntSlider())
    with pytest.raises(
        TypeError,
        match=(
            "draw_square needs one slider for each of its parameters.* got height: missing"
            " .*'width'"
        ),
    ):
        widgets.explore(draw_square, height=slider(2))
    with pytest.raises(
        TypeError, match="draw_square needs one slider .* got height, width, depth: .*'depth'"
    ):
        widgets.explore(draw_square, height=slider(2), width=slider(2), depth=slider(2))
    with pytest.raises(TypeError, match="has no parameter for a slider to change"):
        widgets.explore(lambda: None)
    with pytest.raises(
        ValueError,
        match=(
            r"have 8 × 9 = 72 settings.*at most 60 fit into a page: give the sliders fewer values"
        ),
    ):
        widgets.explore(draw_square, height=slider(8), width=slider(9))
    with pytest.raises(TypeError, match="must return the matplotlib figure it draws, got NoneType"):
        widgets.explore(lambda n: None, n=slider(2))


def test_explore_refuses_pictures_that_are_too_large(monkeypatch):
    monkeypatch.setattr(widgets, "MOST_BYTES", 100)
    with pytest.raises(
        ValueError,
        match=r"the 6 pictures of draw_square take [\d,]+ bytes; at most 100 fit into a page: give",
    ):
        explored()


def line(height, slope, color="k"):
    """A line
    that rises.

    More.
    """
    figure, axis = plt.subplots(figsize=(1, 1), dpi=20)
    axis.plot([0, height * slope], color=color)
    return figure


def test_explore_takes_a_partial_function():
    draw = functools.partial(functools.partial(line, slope=2), color="r")
    box = widgets.explore(draw, height=widgets.slider("h", [1, 2], 1))
    assert 'alt="h = 2. A line that rises."' in box.children[1].children[1].value
    with pytest.raises(
        TypeError, match="line needs one slider for each of its parameters.* got none: .*'height'"
    ):
        widgets.explore(draw)
    with pytest.raises(
        TypeError, match="no_figure must return the matplotlib figure it draws, got NoneType"
    ):
        widgets.explore(functools.partial(no_figure, k=3), n=widgets.slider("n", [1], 1))


def no_figure(n, k):
    pass


def test_explore_takes_an_object_that_can_be_called_and_nothing_else():
    class Drawing:
        """A drawing."""

        def __call__(self, height):
            return line(height, 1)

    box = widgets.explore(Drawing(), height=widgets.slider("h", [1], 1))
    assert 'alt="h = 1. A drawing."' in box.children[1].children[0].value
    with pytest.raises(TypeError, match="draw must be a function that returns a figure, got int"):
        widgets.explore(3, n=widgets.slider("n", [1], 1))
    with pytest.raises(TypeError, match="Drawing needs one slider"):
        widgets.explore(Drawing())


@pytest.mark.parametrize("backend", ["svg", "pdf", "agg"])
def test_explore_works_with_every_backend(backend):
    before = plt.get_backend()
    plt.switch_backend("agg")
    expected = widgets.explore(
        draw_square, height=widgets.slider("h", [2], 2), width=widgets.slider("w", [5], 5)
    )
    try:
        plt.switch_backend(backend)
        box = widgets.explore(
            draw_square, height=widgets.slider("h", [2], 2), width=widgets.slider("w", [5], 5)
        )
        assert plt.get_fignums() == []
    finally:
        plt.switch_backend(before)
    assert (
        box.children[2].children[0].children[0].value
        == expected.children[2].children[0].children[0].value
    )
