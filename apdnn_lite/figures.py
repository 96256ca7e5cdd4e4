"""Pictures and tables for the chapters. Each function draws one matplotlib figure.

The colors are those of Okabe and Ito (2008), which color-blind readers can tell apart.
Perturbations use a map from blue (darker) through white (no change) to red (lighter).
"""

import contextlib

import torch
from matplotlib import colormaps
from matplotlib import pyplot as plt

from ._checks import describe
from ._grid import check_grid
from ._table import Bold as Bold
from ._table import Table as Table

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILION, PURPLE, GRAY = "#D55E00", "#CC79A7", "#6F6F6F"
GREY = GRAY  # the British spelling, too. codespell:ignore grey
STYLE = {
    "figure.dpi": 100, "savefig.dpi": 100, "figure.constrained_layout.use": True,
    "font.size": 10.5, "axes.spines.top": False, "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=[BLUE, VERMILION, GREEN, ORANGE, PURPLE, GRAY]),
    "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False, "image.cmap": "gray"
}
# A pixel that is not a number is drawn purple, a color that neither map has.
SHADES = colormaps["gray"].with_extremes(bad=PURPLE)
CHANGES = colormaps["RdBu_r"].with_extremes(bad=PURPLE)


@contextlib.contextmanager
def style():
    """The book's look inside the ``with`` block, for figures that a chapter draws."""
    plt.draw_if_interactive()  # loads the backend, whose settings would be undone below
    with plt.rc_context(STYLE):
        yield


def to_picture(image):
    """(C, H, W) as matplotlib shows it: (H, W) for one channel, (H, W, 3) for three."""
    image = image.detach().cpu()
    return (image[0] if image.shape[0] == 1 else image.permute(1, 2, 0)).numpy()


def images(rows, titles=None, captions=None, perturbation_rows=(), limit=None,
           size=1.15, margin=0.9):
    """A grid of images, one row for each entry of ``rows``.

    rows: a dict from a row's name to a tensor (N, C, H, W); [0, 1] is black to white.
    titles: N titles of columns. captions: a dict from a row's name to N texts below it.
    perturbation_rows: names of rows that hold perturbations. They are drawn in color,
        the mean over channels, from −limit to limit (by default the largest value).
    size, margin: inches for an image, and for the names of the rows.
    Raises ValueError if these do not fit together.
    """
    captions = captions or {}
    columns = check_grid(rows, titles, captions, perturbation_rows)
    height = len(rows) + 0.25 * len(captions)  # in rows; print takes a quarter
    inches = size * columns + margin, size * height + 0.3
    with style():
        figure, axes = plt.subplots(len(rows), columns, figsize=inches, squeeze=False)
        for line, (name, row) in zip(axes, rows.items(), strict=True):
            bound = limit or max(row.nan_to_num(0, 0, 0).abs().max().item(), 1e-6)
            for axis, image in zip(line, row, strict=True):
                if name in perturbation_rows:
                    axis.imshow(to_picture(image.mean(dim=0, keepdim=True)), CHANGES,
                                vmin=-bound, vmax=bound, interpolation="nearest")
                else:
                    axis.imshow(to_picture(image).clip(0, 1), SHADES, vmin=0, vmax=1,
                                interpolation="nearest")
                axis.set(xticks=[], yticks=[])
                axis.grid(False)
                axis.spines[:].set_visible(False)
            for axis, caption in zip(line, captions.get(name, ()), strict=False):
                axis.set_xlabel(caption, fontsize=9.5)
            line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axis, title in zip(axes[0], titles or (), strict=False):
            axis.set_title(title, fontsize=10)
    return figure


@torch.no_grad()
def processed(raw, transforms, titles=None):
    """Raw images (N, C, H, W) above what each transform (a dict by name) makes of them.

    Below each is its perturbation, amplified as its name says: as much as one of a few
    round factors can without leaving the range of a pixel.
    """
    rows, changes = {"raw": raw}, []
    for name, transform in transforms.items():
        rows[name] = transform(raw.clone())
        perturbation = rows[name] - raw
        amplify = max((times for times in (1, 2, 5, 10, 20, 50)
                       if times * perturbation.abs().max() <= 1), default=1)
        changes.append(f"{name}, δ × {amplify}")
        rows[changes[-1]] = amplify * perturbation
    return images(rows, titles, None, changes, limit=0.5, size=0.8, margin=1.6)


def confusion(counts, classes, title=""):
    """A confusion matrix (K, K) of counts, as percentages of its rows."""
    size = len(classes)
    if not isinstance(counts, torch.Tensor) or counts.shape != (size, size):
        raise ValueError(f"expected counts ({size}, {size}), got {describe(counts)}")
    shares = counts.float() / counts.sum(dim=1, keepdim=True).clamp_min(1)
    with style():
        figure, axis = plt.subplots(figsize=(4.6, 4.7))
        axis.imshow(shares.cpu().numpy(), cmap="Blues", vmin=0, vmax=1)
        for row, column in torch.nonzero(shares >= 0.005).tolist():
            value = shares[row, column].item()
            axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center",
                      fontsize=9, color="white" if value > 0.5 else "black")
        axis.set_xticks(range(size), classes, rotation=45, ha="right", fontsize=9)
        axis.set_yticks(range(size), classes, fontsize=9)
        axis.set(xlabel="the network's answer", ylabel="true class")
        axis.set_title(title, fontsize=10.5)
        axis.grid(False)
    return figure


def history(history, chance=None):
    """Losses and validation accuracies by epoch, of a :class:`~apdnn_lite.History`."""
    if not history.epochs:
        raise ValueError("no epoch was finished: there is nothing to draw")
    epochs = range(1, len(history.epochs) + 1)
    losses = {"loss": "total", "E_p": "$E_p$", "E_r": "$E_r$"}
    accuracies = {name: name for name in ("authorized", "unauthorized", "accuracy")}
    with style():
        figure, (top, below) = plt.subplots(2, 1, figsize=(4.8, 5.6), sharex=True)
        for axis, names, scale in ((top, losses, 1), (below, accuracies, 100)):
            for marker, (column, label) in zip("osD", names.items(), strict=True):
                if column in history.epochs[0]:
                    axis.plot(epochs, [scale * value for value in history[column]],
                              marker=marker, markersize=4, label=label)
            axis.legend()
        if chance is not None:
            below.axhline(100 * chance, color=GRAY, linestyle="--", linewidth=1)
            below.text(1, 100 * chance + 1.5, "chance", color=GRAY, fontsize=9.5)
        top.set_ylabel("loss on training images")
        top.set_ylim(bottom=0)
        below.set(xlabel="epoch", ylabel="validation accuracy, %", ylim=(0, 100))
    return figure


def curve(x, series, xlabel, ylabel, marks=None):
    """Lines over x. ``series`` maps labels to values, ``marks`` labels to heights."""
    with style():
        figure, axis = plt.subplots(figsize=(4.8, 3.2))
        for place, (label, values) in enumerate(series.items()):
            axis.plot(x, values, marker="osD^v"[place % 5], markersize=4, label=label)
        for label, height in (marks or {}).items():
            axis.axhline(height, color=GRAY, linestyle="--", linewidth=1)
            axis.annotate(label, (1.01, height), xycoords=("axes fraction", "data"),
                          va="center", color=GRAY, fontsize=9.5)  # beside all lines
        axis.set(xlabel=xlabel, ylabel=ylabel)
        if len(series) > 1:
            axis.legend()
    return figure
