"""Sliders for the chapters: ipywidgets around plain functions.

A chapter writes a function that draws one figure, calls it once with ordinary arguments, and hands
it to :func:`explore`. There is nothing a slider does that the function does not do.
"""

import ipywidgets
from IPython.display import display
from matplotlib import pyplot as plt


def slider(description, values, value):
    """A slider over the numbers in ``values``, starting at ``value``, which must be one of them."""
    values = list(values)
    if value not in values:
        raise ValueError(f"the slider {description!r} starts at {value}, which is not among its values {values}")
    return ipywidgets.SelectionSlider(options=[(f"{option:g}", option) for option in values], value=value,
                                      description=description, continuous_update=False)


def explore(draw, **controls):
    """Show ``controls`` above what ``draw(**values)`` draws, and draw again when one is moved.

    draw: a plain function with the controls' names as parameters that returns a matplotlib figure.
    controls: ipywidgets, such as those of :func:`slider`.
    """
    output = ipywidgets.Output()

    def update(change=None):
        with output:
            output.clear_output(wait=True)
            figure = draw(**{name: control.value for name, control in controls.items()})
            display(figure)
            plt.close(figure)

    for control in controls.values():
        control.observe(update, names="value")
    update()
    return ipywidgets.VBox([*controls.values(), output])
