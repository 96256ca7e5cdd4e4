"""Guess keys against a network by hand, in Jupyter. The page of the book that does this in a
browser, without Python, is ``book/playground.md``.
"""

import base64
import html
import io
import math
from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image

from ._checks import check_images, check_labels, whole_number
from ._machine import device_of
from .attacks import decisiveness
from .evaluate import predict
from .figures import BLUE, VERMILION, to_picture
from .transforms import Fixed
from .widgets import WIDE


@dataclass(frozen=True)
class Try:
    """One guessed key and how far it opens a network.

    accuracy: the share of images it gets right, or None if there are no labels.
    score: what the thief can measure without labels, :func:`~apdnn_lite.attacks.decisiveness`, as
        a share of the highest possible.
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

    def __str__(self):
        measure = "score" if self.accuracy is None else "accuracy"
        return (f"seed {self.seed}, σ = {self.sigma:g}, p = {self.p:g}: "
                f"{measure} {self.worth:.0%}")


def guessed_key(images, sigma, p, seed, clip=False):
    """A random key for ``images``. Its seeds are the thief's own: none gives the owner's key."""
    return Fixed(images.shape[1:], sigma, p, np.random.SeedSequence(seed, spawn_key=(0,)), clip)


def share_right(logits, labels):
    """The accuracy of these answers, or None without labels."""
    return None if labels is None else (logits.argmax(dim=1) == labels).float().mean().item()


def answers_of(net, images, transform=None):
    """The logits (N, K) of the network, on the CPU; raises ValueError if they are no numbers."""
    logits = predict(net, images, transform).cpu()
    if not logits.isfinite().all():
        count = int((~logits.isfinite()).any(dim=1).sum())
        raise ValueError(f"the network answers {count} of {len(images)} images with NaN or "
                         "infinite logits: its accuracy means nothing. Was its training stable?")
    return logits


def try_key(net, images, sigma, p, seed, labels=None, clip=False):
    """Put a guessed key before the network: the :class:`Try`, the key and the logits."""
    key = guessed_key(images, sigma, p, seed, clip)
    logits = answers_of(net, images, key)
    score = decisiveness(logits) / math.log(logits.shape[1])
    return Try(sigma, p, seed, share_right(logits, labels), score), key, logits


def answers(logits, labels=None, classes=None):
    """The answers with their probabilities, as HTML; with labels ✓ or ✗ says which are right."""
    texts = []
    for place, q in enumerate(logits.softmax(dim=1)):
        answer = int(q.argmax())
        name = answer if classes is None else classes[answer]
        text = f"{html.escape(str(name))} {q[answer]:.0%}"
        if labels is not None:
            color, mark = (BLUE, "✓") if answer == labels[place] else (VERMILION, "✗")
            text = f'<span style="color: {color}">{mark} {text}</span>'
        texts.append(text)
    return texts


def small_picture(image, alt, limit=None):
    """An HTML image of a tensor (C, H, W); with ``limit``, a change in colors up to ±limit."""
    if limit:
        pixels = colormaps["RdBu_r"](image.mean(dim=0).numpy() / (2 * limit) + 0.5)[..., :3]
    else:
        pixels = to_picture(image).clip(0, 1)
    file = io.BytesIO()
    Image.fromarray((255 * pixels).astype(np.uint8)).save(file, "png")
    return (f'<img alt="{html.escape(alt)}" style="width: 4.5rem; image-rendering: pixelated" '
            f'src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">')


def rows_of_pictures(rows):
    """An HTML table of rows: (name, images, a text for each or None, limit of colors or None)."""
    lines = []
    for name, images, texts, limit in rows:
        cells = "".join(
            '<td style="padding: 0.1rem 0.3rem; vertical-align: top">'
            f"{small_picture(image, name, limit)}<br><small>{text}</small></td>"
            for image, text in zip(images, texts or [""] * len(images), strict=True))
        lines.append('<tr style="text-align: center; line-height: 1.2">'
                     f'<th scope="row" style="text-align: right">{name}</th>{cells}</tr>')
    return f"<table>{''.join(lines)}</table>"


def list_of_tries(tries, last=5):
    """The best try, the last ones, and how many came out how well, as HTML."""
    measure = "score" if tries[0].accuracy is None else "accuracy"
    best = max(tries, key=lambda each: each.worth)
    counts = np.histogram([each.worth for each in tries], bins=10, range=(0, 1))[0]
    bars = "".join(
        f'<tr><th scope="row" style="text-align: right">{10 * place}–{10 * place + 10}%</th>'
        f'<td style="width: 12rem"><div style="width: {count / max(counts):.0%}; height: 0.8em; '
        f'background: {BLUE}"></div></td><td>{count}</td></tr>'
        for place, count in enumerate(counts))
    latest = "<br>".join(map(str, tries[:-last - 1:-1]))
    return (f"<p><b>best of {len(tries)}:</b> {best}</p><p>{latest}</p>"
            f'<table style="line-height: 1.2"><caption>{measure} of all tries</caption>{bars}'
            "</table>")


def check(net, key, images, labels):
    """Raises TypeError or ValueError unless the playground can work with these."""
    for name, module in (("net", net), ("key", key)):
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"{name} must be a torch module, got {type(module).__name__}")
    check_images(images)
    if labels is not None:
        check_labels(labels, len(images))


def check_classes(num_classes, labels, classes):
    """Raises ValueError unless labels and names fit a network that knows so many classes."""
    if num_classes < 2:
        raise ValueError("expected a network that tells two classes or more, got one logit each")
    if classes is not None and len(classes) != num_classes:
        raise ValueError(f"the network knows {num_classes} classes, and there are {len(classes)} "
                         "names: give one for each, or none")
    if labels is not None and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"labels must be from 0 to {num_classes - 1}, as the network's answers; "
                         f"got {labels.min()} to {labels.max()}")


def playground(net, key, images, labels=None, classes=None, shown=6):
    """Guess keys against a network, by hand: a view for Jupyter, with sliders for σ and p.

    net, key: a network and its owner's transform, any module from raw to processed images.
    images: raw images (N, C, H, W) in [0, 1]; 64 answer at once. The first ``shown`` are drawn.
    labels: N labels; without them there are no accuracies, and tries are compared by the score
        that a thief can measure.
    classes: the names of all classes.

    Raises TypeError or ValueError for what does not fit together.
    """
    check(net, key, images, labels)
    shown = whole_number("shown", shown)
    images, labels = images.cpu(), None if labels is None else labels.cpu()
    owners, raw_logits = answers_of(net, images, key), answers_of(net, images)
    check_classes(raw_logits.shape[1], labels, classes)
    with torch.no_grad():
        processed = key(images[:shown].to(device_of(net))).cpu()
    some = None if labels is None else labels[:shown]
    tries = {}

    look = {"step": 0.01, "continuous_update": False, "layout": WIDE}
    sigma = ipywidgets.FloatSlider(0.1, min=0.01, max=0.3, description="σ", **look)
    p = ipywidgets.FloatSlider(0.2, min=0.01, max=0.5, description="p", **look)
    seed = ipywidgets.BoundedIntText(0, min=0, max=10 ** 9, description="seed")
    one = ipywidgets.Button(description="draw a key")
    many = ipywidgets.Button(description="20 tries")
    view, record, messages = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.Output()

    def attempt(number):
        result, guess, logits = try_key(net, images, sigma.value, p.value, number, labels,
                                        getattr(key, "clip", False))
        tries[sigma.value, p.value, number] = result
        return result, guess, logits

    @messages.capture(clear_output=True, wait=True)
    def show(change=None):
        result, guess, logits = attempt(seed.value)
        with torch.no_grad():
            yours = guess.cpu()(images[:shown])
        text = rows_of_pictures([
            ("raw", images[:shown], answers(raw_logits[:shown], some, classes), None),
            ("owner's key", processed, answers(owners[:shown], some, classes), None),
            ("your key, amplified", yours - images[:shown], None, sigma.max),
            ("with your key", yours, answers(logits[:shown], some, classes), None)])
        if labels is None:
            text += ("<p>no labels, so no accuracy; the thief's score of your key is "
                     f"<b>{result.score:.0%}</b></p>")
        else:
            text += (f"<p>accuracy on {len(images)} images: "
                     f"authorized {share_right(owners, labels):.0%}, "
                     f"unauthorized {share_right(raw_logits, labels):.0%}, "
                     f"<b>with your key {result.accuracy:.0%}</b></p>")
        view.value, record.value = text, list_of_tries(list(tries.values()))

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
    buttons = ipywidgets.HBox([seed, one, many], layout={"flex_flow": "row wrap"})
    return ipywidgets.VBox([sigma, p, buttons, view, record, messages])
