"""Sliders for the chapters: ipywidgets around plain functions.

A chapter writes a function that draws one figure, calls it once with ordinary arguments, and hands
it to :func:`explore`. A slider does nothing that the function does not do.
"""

import base64
import functools
import html
import inspect
import io
import itertools
import math

import ipywidgets
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ._checks import real_number

WIDE = {"width": "100%", "max_width": "32rem"}
MOST_PICTURES, MOST_BYTES = 60, 600_000  # of one explore(): a page of the book must load quickly


def slider(description, values, value):
    """A slider over the numbers in ``values`` that starts at ``value``, one of them.

    Numbers that differ by rounding alone, as in ``np.arange(0.05, 0.3, 0.05)``, count as equal.

    Raises ValueError if ``value`` is not among the values, or if they are not finite numbers.
    """
    values = [option.item() if isinstance(option, np.generic) else option for option in values]
    numbers = [real_number(f"each value of the slider {description!r}", option, low=-math.inf)
               for option in values]
    start = real_number(f"the start of the slider {description!r}", value, low=-math.inf)
    close = [option for option, number in zip(values, numbers, strict=True)
             if math.isclose(number, start, rel_tol=1e-9, abs_tol=1e-12)]
    if not close:
        raise ValueError(f"the slider {description!r} starts at {value}, which is not among "
                         f"its values {values}")
    nearest = min(close, key=lambda option: abs(option - start))
    return ipywidgets.SelectionSlider(
        options=[(f"{option:g}", option) for option in values], value=nearest,
        description=description, continuous_update=False, layout=WIDE,
        style={"description_width": "6rem"})  # room for two words


def explore(draw, **controls):
    """Show ``controls`` above what ``draw(**values)`` draws; moving one changes the picture.

    draw: a plain function with the controls' names as parameters that returns a matplotlib
        figure. The first paragraph of its docstring describes the picture to readers who cannot
        see it. A functools.partial of such a function will do as well.
    controls: one :func:`slider` for each parameter.

    All settings are drawn in advance, and the browser shows the picture that the sliders select.
    This is why they also work in the built book, where no Python runs. In Jupyter, the function is
    called again for the selected setting, so that the picture reflects what the reader has changed
    since.

    Raises TypeError if the controls are not sliders or do not match the function's parameters, and
    ValueError if the pictures are too many or too large for a page.
    """
    check_controls(draw, controls)
    sliders = list(controls.values())
    settings = list(itertools.product(*(range(len(each.options)) for each in sliders)))
    pictures = {setting: picture(draw, controls, setting) for setting in settings}
    size = sum(len(each) for each in pictures.values()) * 3 // 4  # base64 has 4 letters for 3 bytes
    if size > MOST_BYTES:
        raise ValueError(
            f"the {len(settings)} pictures of {name_of(draw)} take {size:,} bytes; at most "
            f"{MOST_BYTES:,} fit into a page: give the sliders fewer values, or draw a smaller "
            "figure")
    shared = {"layout": ipywidgets.Layout(), "style": ipywidgets.HTML().style}
    frames = {setting: ipywidgets.HTML(each, **shared) for setting, each in pictures.items()}
    messages = ipywidgets.Output()

    @messages.capture(clear_output=True, wait=True)
    def draw_again(change):
        setting = tuple(each.index for each in sliders)
        frames[setting].value = picture(draw, controls, setting)

    for each in sliders:
        each.observe(draw_again, names="index")
    return ipywidgets.VBox([*sliders, stacked(list(frames.values()), sliders), messages])


def inner(draw):
    """The function that the reader wrote, without what functools.partial puts around it."""
    while isinstance(draw, functools.partial):
        draw = draw.func
    return draw


def name_of(draw):
    """What the function is called, or its type where it has no name."""
    return getattr(inner(draw), "__name__", type(draw).__name__)


def check_controls(draw, controls):
    """Raises TypeError or ValueError unless ``explore`` can work with these controls."""
    for name, control in controls.items():
        if not isinstance(control, ipywidgets.SelectionSlider):
            raise TypeError(f"{name} must be a slider made by ap.widgets.slider, "
                            f"got {type(control).__name__}")
    if not callable(draw):
        raise TypeError(f"draw must be a function that returns a figure, got {type(draw).__name__}")
    try:
        inspect.signature(draw).bind(**controls)
    except TypeError as error:
        raise TypeError(f"{name_of(draw)} needs one slider for each of its parameters, under the "
                        f"parameter's name; got {', '.join(controls) or 'none'}: {error}") from None
    if not controls:
        raise TypeError(f"{name_of(draw)} has no parameter for a slider to change")
    counts = [len(control.options) for control in controls.values()]
    if math.prod(counts) > MOST_PICTURES:
        raise ValueError(
            f"the sliders have {' × '.join(map(str, counts))} = {math.prod(counts)} settings, and "
            f"a picture is stored for each; at most {MOST_PICTURES} fit into a page: give the "
            "sliders fewer values")


def picture(draw, controls, setting):
    """What ``draw`` draws at the places in ``setting`` of the controls, as an HTML image."""
    chosen = [(name, *control.options[place])
              for (name, control), place in zip(controls.items(), setting, strict=True)]
    figure = draw(**{name: value for name, _, value in chosen})
    if not isinstance(figure, Figure):
        raise TypeError(f"{name_of(draw)} must return the matplotlib figure it draws, "
                        f"got {type(figure).__name__}")
    plt.close(figure)
    canvas = FigureCanvasAgg(figure)  # whatever backend is chosen: not every one has pixels
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    file = io.BytesIO()  # 128 colors in lossless WebP: sharp letters in few bytes
    image.quantize(128, dither=Image.Dither.NONE).save(file, "webp", lossless=True)
    names = [(controls[name].description, label) for name, label, _ in chosen]
    paragraph = (inspect.getdoc(inner(draw)) or "").partition("\n\n")[0]
    about = " ".join(paragraph.replace("``", "").split())
    alt = ", ".join(f"{name} = {label}" for name, label in names) + ". " + about
    source = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
    # decoded at once and of a known size: nothing flickers or jumps when it changes
    return (f'<img alt="{html.escape(alt)}" width="{image.width}" height="{image.height}" '
            f'decoding="sync" style="max-width: 100%; height: auto" src="{source}">')


def stacked(frames, sliders):
    """The frames in a Stack, which shows the one of its children that the first slider selects.

    With more sliders each child is such a Stack itself. The links work in the browser, without
    Python.
    """
    first, *others = sliders
    if others:
        size = len(frames) // len(first.options)
        frames = [stacked(frames[start:start + size], others)
                  for start in range(0, len(frames), size)]
    stack = ipywidgets.Stack(frames, selected_index=first.index)
    ipywidgets.jslink((first, "index"), (stack, "selected_index"))
    return stack
