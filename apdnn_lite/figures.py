"""Pictures and tables for the chapters. Each function draws with matplotlib and returns the figure.

Colours are those of Okabe and Ito (2008), which survive colour blindness; perturbations use a map
from blue (darker) through white (nothing) to red (lighter).
"""

import contextlib
import html

import torch
from matplotlib import pyplot as plt

BLUE, ORANGE, GREEN, VERMILION, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#6F6F6F"
STYLE = {
    "figure.dpi": 100, "savefig.dpi": 100, "font.size": 10.5, "axes.spines.top": False, "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=[BLUE, VERMILION, GREEN, ORANGE, PURPLE, GREY]), "axes.grid": True,
    "grid.alpha": 0.25, "figure.constrained_layout.use": True, "image.cmap": "gray", "legend.frameon": False,
}


@contextlib.contextmanager
def style():
    """The book's look inside the ``with`` block, for figures drawn by a chapter itself."""
    plt.draw_if_interactive()  # loads the backend now: what it sets while it loads, rc_context would undo
    with plt.rc_context(STYLE):
        yield


def to_picture(image):
    """(C, H, W) to what matplotlib shows: (H, W) for one channel, (H, W, 3) for three."""
    image = image.detach().cpu()
    return (image[0] if image.shape[0] == 1 else image.permute(1, 2, 0)).numpy()


def images(rows, titles=None, captions=None, perturbation_rows=(), limit=None, size=1.15, margin=0.9):
    """A grid of images, one row for each entry of ``rows``.

    rows: a dict from the row's name to a tensor (N, C, H, W); images show [0, 1] from black to white.
    titles: N column titles. captions: a dict from a row's name to N texts below its images.
    perturbation_rows: names of rows that hold perturbations; they are drawn in colour, from
        −limit to limit (by default the largest value), averaged over the channels.
    size, margin: inches for an image, and for the names of the rows.
    """
    columns = len(next(iter(rows.values())))
    with style():
        heights = [1.25 if captions and name in captions else 1 for name in rows]
        figure, axes = plt.subplots(len(rows), columns, figsize=(size * columns + margin, size * sum(heights) + 0.3),
                                    squeeze=False, gridspec_kw={"height_ratios": heights})
        for line, (name, row) in zip(axes, rows.items()):
            for column, (axis, image) in enumerate(zip(line, row)):
                if name in perturbation_rows:
                    bound = limit or max(row.abs().max().item(), 1e-6)
                    axis.imshow(image.detach().cpu().mean(dim=0).numpy(), cmap="RdBu_r", vmin=-bound, vmax=bound,
                                interpolation="nearest")
                else:
                    axis.imshow(to_picture(image).clip(0, 1), vmin=0, vmax=1, interpolation="nearest")
                axis.set_xticks([]), axis.set_yticks([]), axis.grid(False)
                axis.spines[:].set_visible(False)
                if captions and name in captions:
                    axis.set_xlabel(captions[name][column], fontsize=8.5)
            line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axis, title in zip(axes[0], titles or []):
            axis.set_title(title, fontsize=9.5)
    return figure


def processed(raw, transforms, titles=None):
    """Raw images (N, C, H, W) above what each of the ``transforms`` (a dict by name) makes of them.

    Below each its perturbation, as many times stronger as its name says: as much as keeps it within one pixel's range.
    """
    rows = {"raw": raw}
    with torch.no_grad():
        for name, transform in transforms.items():
            rows[name] = transform(raw)
            perturbation = rows[name] - raw
            amplify = max((times for times in (1, 2, 5, 10, 20, 50) if times * perturbation.abs().max() <= 1), default=1)
            rows[f"{name}, δ × {amplify}"] = amplify * perturbation
    return images(rows, titles, perturbation_rows=[name for name in rows if "δ" in name], limit=0.5, size=0.95,
                  margin=1.6)


def confusion(counts, classes, title=""):
    """A confusion matrix (num_classes, num_classes) of counts as a picture of row shares, with numbers in per cent."""
    shares = counts.float() / counts.sum(dim=1, keepdim=True).clamp_min(1)
    with style():
        figure, axis = plt.subplots(figsize=(5.6, 5.2))
        axis.imshow(shares.cpu().numpy(), cmap="Blues", vmin=0, vmax=1)
        for row, column in torch.nonzero(shares >= 0.005).tolist():
            value = shares[row, column].item()
            axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8,
                      color="white" if value > 0.5 else "black")
        axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=8.5)
        axis.set_yticks(range(len(classes)), classes, fontsize=8.5)
        axis.set_xlabel("the network's answer"), axis.set_ylabel("true class")
        axis.set_title(title, fontsize=10.5), axis.grid(False)
    return figure


def history(history, chance=None):
    """Loss terms and validation accuracies over the epochs of a :class:`~apdnn_lite.training.History`."""
    names = {"loss": "total", "E_p": "$E_p$", "E_r": "$E_r$", "authorized": "authorized",
             "unauthorized": "unauthorized", "accuracy": "accuracy"}
    if not history.epochs:
        raise ValueError("no epoch was finished: there is nothing to draw")
    epochs = range(1, len(history.epochs) + 1)
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
        for axis, columns, scale in ((left, ("loss", "E_p", "E_r"), 1), (right, ("authorized", "unauthorized", "accuracy"), 100)):
            for marker, column in zip("osD", columns):
                if column in history.epochs[0]:
                    axis.plot(epochs, [scale * value for value in history[column]], marker=marker, markersize=4,
                              label=names[column])
            axis.set_xlabel("epoch"), axis.legend()
        if chance is not None:
            right.axhline(100 * chance, color=GREY, linestyle="--", linewidth=1)
            right.text(1, 100 * chance + 1.5, "chance", color=GREY, fontsize=8.5)
        left.set_ylabel("loss on training images"), left.set_ylim(bottom=0)
        right.set_ylabel("accuracy on validation images, %"), right.set_ylim(0, 100)
    return figure


def curve(x, series, xlabel, ylabel, marks=None):
    """Lines over x: ``series`` maps a label to values. ``marks`` maps a label to the height of a dashed line."""
    with style():
        figure, axis = plt.subplots(figsize=(6.4, 3.4))
        for marker, (label, values) in zip("osD^v", series.items()):
            axis.plot(x, values, marker=marker, markersize=4, label=label)
        for label, height in (marks or {}).items():
            axis.axhline(height, color=GREY, linestyle="--", linewidth=1)
            axis.annotate(label, (1.01, height), xycoords=("axes fraction", "data"), ha="left", va="center",
                          color=GREY, fontsize=8.5)  # beside the axes, where no line runs through it
        axis.set_xlabel(xlabel), axis.set_ylabel(ylabel)
        if len(series) > 1:
            axis.legend()
    return figure


class Table:
    """A table that a notebook shows as such, and anything else as text.

    header: the names of the columns. rows: for each row as many cells, shown by ``str``; None is an empty one. A row that
        is a string is a heading over those that follow.
    Raises ValueError if a row has more cells than the header, or fewer.
    """

    def __init__(self, header, rows):
        self.header = [str(name) for name in header]
        self.rows = [row if isinstance(row, str) else ["" if cell is None else str(cell) for cell in row] for row in rows]
        for row in self.rows:
            if not isinstance(row, str) and len(row) != len(self.header):
                raise ValueError(f"expected {len(self.header)} cells in each row, as many as column names, got {row}")

    def __repr__(self):
        cells = [row for row in self.rows if not isinstance(row, str)]
        widths = [max(map(len, column)) for column in zip(self.header, *cells)]
        line = lambda row: "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()  # noqa: E731
        return "\n".join(row if isinstance(row, str) else line(row) for row in (self.header, *self.rows))

    def _repr_html_(self):
        def line(tag, row):
            if isinstance(row, str):
                return f'<tr><th colspan="{len(self.header)}" scope="rowgroup">{html.escape(row)}</th></tr>'
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"

        return ('<table class="table"><thead>' + line("th", self.header) + "</thead><tbody>"
                + "".join(line("td", row) for row in self.rows) + "</tbody></table>")
