"""Sliders and a playground for the chapters: ipywidgets around plain functions.

A chapter writes a function that draws one figure, calls it once with ordinary arguments, and hands
it to :func:`explore`. There is nothing a slider does that the function does not do.
"""

import base64
import html
import inspect
import io
import itertools
import math
from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from .attacks import decisiveness
from ._machine import device_of
from .evaluate import predict
from .figures import BLUE, VERMILION, to_picture
from .transforms import Fixed

WIDE = {"width": "100%", "max_width": "32rem"}
MOST_PICTURES, MOST_BYTES = 60, 600_000  # of one explore(): a page of the book is to load quickly


def slider(description, values, value):
    """A slider over the numbers in ``values``, starting at ``value``, which must be one of them."""
    values = list(values)
    if value not in values:
        raise ValueError(f"the slider {description!r} starts at {value}, which is not among its values {values}")
    return ipywidgets.SelectionSlider(options=[(f"{option:g}", option) for option in values], value=value,
                                      description=description, continuous_update=False, layout=WIDE)


def explore(draw, **controls):
    """Show ``controls`` above what ``draw(**values)`` draws; moving one changes the picture.

    draw: a plain function with the controls' names as parameters that returns a matplotlib figure.
        The first paragraph of its docstring tells who cannot see the picture what it shows.
    controls: one :func:`slider` for each parameter.

    The pictures of all settings are drawn at once, and the browser shows the one that the sliders
    point at. So they answer in the built book, too, where no Python runs. In Jupyter, the function is
    also called again for the setting that is chosen, so that what the reader changed since shows.

    Raises TypeError if the controls are not sliders or not those of the function's parameters, and
    ValueError if the pictures are too many or too large for a page.
    """
    check_controls(draw, controls)
    sliders = list(controls.values())
    settings = list(itertools.product(*(range(len(each.options)) for each in sliders)))
    pictures = {setting: picture(draw, controls, setting) for setting in settings}
    size = sum(len(each) for each in pictures.values()) * 3 // 4  # base64 takes four letters for three bytes
    if size > MOST_BYTES:
        raise ValueError(f"the {len(settings)} pictures of {draw.__name__} take {size:,} bytes; at most {MOST_BYTES:,} "
                         "fit into a page: give the sliders fewer values, or draw a smaller figure")
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


def check_controls(draw, controls):
    """Raises TypeError or ValueError unless ``explore`` can work with these controls."""
    for name, control in controls.items():
        if not isinstance(control, ipywidgets.SelectionSlider):
            raise TypeError(f"{name} must be a slider made by ap.widgets.slider, got {type(control).__name__}")
    try:
        inspect.signature(draw).bind(**controls)
    except TypeError as error:
        raise TypeError(f"{draw.__name__} needs one slider for each of its parameters, under the parameter's name; "
                        f"got {', '.join(controls) or 'none'}: {error}") from None
    if not controls:
        raise TypeError(f"{draw.__name__} has no parameter for a slider to change")
    counts = [len(control.options) for control in controls.values()]
    if math.prod(counts) > MOST_PICTURES:
        raise ValueError(f"the sliders have {' × '.join(map(str, counts))} = {math.prod(counts)} settings, and a picture is "
                         f"stored for each; at most {MOST_PICTURES} fit into a page: give the sliders fewer values")


def picture(draw, controls, setting):
    """What ``draw`` draws when the controls stand at the places in ``setting``, as an HTML image."""
    chosen = [(name, *control.options[place]) for (name, control), place in zip(controls.items(), setting)]
    figure = draw(**{name: value for name, _, value in chosen})
    if not isinstance(figure, Figure):
        raise TypeError(f"{draw.__name__} must return the matplotlib figure it draws, got {type(figure).__name__}")
    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    plt.close(figure)
    file = io.BytesIO()  # 128 colours in lossless WebP: sharp letters in few bytes
    image.quantize(128, dither=Image.Dither.NONE).save(file, "webp", lossless=True)
    names = [(controls[name].description, label) for name, label, _ in chosen]
    first_paragraph = " ".join((inspect.getdoc(draw) or "").partition("\n\n")[0].replace("``", "").split())
    alt = ", ".join(f"{name} = {label}" for name, label in names) + ". " + first_paragraph
    # decoded at once and of a known size: nothing flickers or jumps when it changes
    return (f'<img alt="{html.escape(alt)}" width="{image.width}" height="{image.height}" decoding="sync" '
            f'style="max-width: 100%; height: auto" src="data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}">')


def stacked(frames, sliders):
    """The frames in a Stack, which shows one of its children, the one that the first slider points at.

    With more sliders each child is such a Stack itself. The links work in the browser, without Python.
    """
    first, *others = sliders
    if others:
        size = len(frames) // len(first.options)
        frames = [stacked(frames[start:start + size], others) for start in range(0, len(frames), size)]
    stack = ipywidgets.Stack(frames, selected_index=first.index)
    ipywidgets.jslink((first, "index"), (stack, "selected_index"))
    return stack


# ---- the playground

@dataclass(frozen=True)
class Try:
    """One guessed key and how far it opens a network.

    accuracy: the share of images it gets right, or None if there are no labels.
    score: the thief's own measure, which needs no label (:func:`~apdnn_lite.attacks.decisiveness`), as a
        share of the highest possible.
    """

    sigma: float
    p: float
    seed: int
    accuracy: float | None
    score: float

    @property
    def worth(self):
        """What tries are compared by: the accuracy where it is known, or else the score."""
        return self.score if self.accuracy is None else self.accuracy


def guessed_key(images, sigma, p, seed, clip=False):
    """A random key for ``images``; its seeds are the thief's own, so that none gives the owner's key by accident."""
    return Fixed(images.shape[1:], sigma, p, np.random.SeedSequence(seed, spawn_key=(0,)), clip)


def share_right(logits, labels):
    """The accuracy of these answers, or None without labels."""
    return None if labels is None else (logits.argmax(dim=1) == labels).float().mean().item()


def try_key(net, images, sigma, p, seed, labels=None, clip=False):
    """Put a guessed key before the network: the :class:`Try`, the key and the logits."""
    key = guessed_key(images, sigma, p, seed, clip)
    logits = predict(net, images, key).cpu()
    score = decisiveness(logits) / math.log(logits.shape[1])
    return Try(sigma, p, seed, share_right(logits, labels), score), key, logits


def answers(logits, labels=None, classes=None):
    """The network's answers with their probabilities as HTML; with labels ✓ or ✗ says which are right."""
    texts = []
    for place, q in enumerate(logits.softmax(dim=1)):
        answer = int(q.argmax())
        text = f"{html.escape(str(classes[answer] if classes else answer))} {q[answer]:.0%}"
        if labels is not None:
            right = answer == labels[place]
            text = f'<span style="color: {BLUE if right else VERMILION}">{"✓" if right else "✗"} {text}</span>'
        texts.append(text)
    return texts


def small_picture(image, alt, limit=None):
    """An HTML image of a tensor (C, H, W); with ``limit``, a perturbation in colours from −limit to limit."""
    if limit:
        pixels = colormaps["RdBu_r"](image.mean(dim=0).numpy() / (2 * limit) + 0.5)[..., :3]
    else:
        pixels = to_picture(image).clip(0, 1)
    file = io.BytesIO()
    Image.fromarray((255 * pixels).astype(np.uint8)).save(file, "png")
    return (f'<img alt="{html.escape(alt)}" style="width: 4.5rem; image-rendering: pixelated" '
            f'src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">')


def rows_of_pictures(rows):
    """An HTML table. Each row is a name, images (N, C, H, W), N texts or None, and a limit for colours or None."""
    lines = []
    for name, images, texts, limit in rows:
        cells = "".join(f'<td style="padding: 0.1rem 0.3rem; vertical-align: top">{small_picture(image, name, limit)}<br>'
                        f"<small>{text}</small></td>" for image, text in zip(images, texts or [""] * len(images)))
        lines.append(f'<tr style="text-align: center; line-height: 1.2"><th style="text-align: right">{name}</th>{cells}</tr>')
    return f"<table>{''.join(lines)}</table>"


def list_of_tries(tries, last=5):
    """The best try, the last ones, and how many came out how well, as HTML."""
    measure = "score" if tries[0].accuracy is None else "accuracy"
    line = lambda each: f"seed {each.seed}, σ = {each.sigma:g}, p = {each.p:g}: {measure} {each.worth:.0%}"  # noqa: E731
    best = max(tries, key=lambda each: each.worth)
    counts = np.histogram([each.worth for each in tries], bins=10, range=(0, 1))[0]
    bars = "".join(f'<tr><th style="text-align: right">{10 * place}–{10 * place + 10} %</th><td style="width: 12rem">'
                   f'<div style="width: {count / max(counts):.0%}; height: 0.8em; background: {BLUE}"></div></td>'
                   f"<td>{count}</td></tr>" for place, count in enumerate(counts))
    return (f"<p><b>best of {len(tries)}:</b> {line(best)}</p><p>{'<br>'.join(map(line, tries[:-last - 1:-1]))}</p>"
            f'<table style="line-height: 1.2"><caption>{measure} of all tries</caption>{bars}</table>')


def check_playground(net, key, images, labels):
    """Raises TypeError or ValueError unless these are a network, a transform and images that fit together."""
    for name, module in (("net", net), ("key", key)):
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"{name} must be a torch module, got {type(module).__name__}")
    if not isinstance(images, torch.Tensor) or images.dim() != 4 or len(images) < 1:
        found = tuple(images.shape) if isinstance(images, torch.Tensor) else type(images).__name__
        raise ValueError(f"images must be a tensor (N, C, H, W) with N ≥ 1, such as data.test.images[:64]; got {found}")
    if not 0 <= images.min() <= images.max() <= 1:
        raise ValueError(f"images must be raw, pixels in [0, 1]; got {images.min():.3g} to {images.max():.3g}")
    if labels is not None and (not isinstance(labels, torch.Tensor) or labels.shape != images.shape[:1]):
        found = tuple(labels.shape) if isinstance(labels, torch.Tensor) else type(labels).__name__
        raise ValueError(f"labels must be a tensor with one label for each of the {len(images)} images, or None; got {found}")


def playground(net, key, images, labels=None, classes=None, shown=6):
    """Guess keys against a network, by hand: a view for Jupyter, with sliders for σ and p.

    net, key: a network and its owner's transform, any module from raw to processed images.
    images: raw images (N, C, H, W) in [0, 1]; 64 answer at once. The first ``shown`` are drawn.
    labels: N labels; without them there are no accuracies, and tries are compared by the thief's score.
    classes: their names.

    Raises TypeError or ValueError for what does not fit together.
    """
    check_playground(net, key, images, labels)
    images, labels = images.cpu(), None if labels is None else labels.cpu()
    owners, raw_logits = predict(net, images, key).cpu(), predict(net, images).cpu()
    with torch.no_grad():
        processed = key(images[:shown].to(device_of(net))).cpu()
    some = None if labels is None else labels[:shown]
    tries = {}

    sigma = ipywidgets.FloatSlider(0.1, min=0.01, max=0.3, step=0.01, description="σ", continuous_update=False, layout=WIDE)
    p = ipywidgets.FloatSlider(0.2, min=0.01, max=0.5, step=0.01, description="p", continuous_update=False, layout=WIDE)
    seed = ipywidgets.BoundedIntText(0, min=0, max=10 ** 9, description="seed")
    one, many = ipywidgets.Button(description="draw a key"), ipywidgets.Button(description="20 tries")
    view, record, messages = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.Output()

    def attempt(number):
        result, guess, logits = try_key(net, images, sigma.value, p.value, number, labels, getattr(key, "clip", False))
        tries[sigma.value, p.value, number] = result
        return result, guess, logits

    @messages.capture(clear_output=True, wait=True)
    def show(change=None):
        result, guess, logits = attempt(seed.value)
        with torch.no_grad():
            yours = guess.cpu()(images[:shown])
        pictures = rows_of_pictures([
            ("raw", images[:shown], answers(raw_logits[:shown], some, classes), None),
            ("owner's key", processed, answers(owners[:shown], some, classes), None),
            ("your key, amplified", yours - images[:shown], None, sigma.max),
            ("with your key", yours, answers(logits[:shown], some, classes), None)])
        if labels is not None:
            pictures += (f"<p>accuracy on {len(images)} images: authorized {share_right(owners, labels):.0%}, "
                         f"unauthorized {share_right(raw_logits, labels):.0%}, <b>with your key {result.accuracy:.0%}</b></p>")
        else:
            pictures += f"<p>no labels, so no accuracy; the thief's score of your key is <b>{result.score:.0%}</b></p>"
        view.value, record.value = pictures, list_of_tries(list(tries.values()))

    @messages.capture(clear_output=True, wait=True)
    def draw_many(button):
        for number in range(seed.value + 1, seed.value + 20):
            attempt(number)
        seed.value += 20  # the twentieth is shown

    def draw_one(button):
        seed.value += 1

    for each in (sigma, p, seed):
        each.observe(show, names="value")
    one.on_click(draw_one)
    many.on_click(draw_many)
    show()
    return ipywidgets.VBox([sigma, p, ipywidgets.HBox([seed, one, many], layout={"flex_flow": "row wrap"}),
                            view, record, messages])
