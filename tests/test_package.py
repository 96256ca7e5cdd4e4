"""The package as a whole: how it is imported, what it exports, its figures and tables."""

import subprocess
import sys
import tomllib
import types
from pathlib import Path

import matplotlib.figure
import pytest
import torch
from matplotlib import pyplot as plt

import apdnn_lite as ap
from apdnn_lite import figures

ROOT = Path(__file__).resolve().parent.parent


def test_importing_it_warns_of_nothing_and_loads_no_torchvision():
    code = "import sys, apdnn_lite; print('torchvision' in sys.modules or 'onnx' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert ap.__version__ == project["version"]


def test_what_it_exports_exists_is_sorted_and_is_all_that_is_public():
    assert ap.__all__ == sorted(ap.__all__)
    for name in ap.__all__:
        assert hasattr(ap, name)
    public = {name for name, value in vars(ap).items()
              if not name.startswith("_") and not isinstance(value, types.ModuleType)}
    modules = {name for name in ap.__all__ if isinstance(getattr(ap, name), types.ModuleType)}
    assert public == set(ap.__all__) - modules
    assert modules == {
        "adversarial",
        "attacks",
        "experiments",
        "export",
        "figures",
        "tables",
        "widgets",
    }


@pytest.mark.parametrize("name", [name for name in ap.__all__ if callable(getattr(ap, name))])
def test_what_it_exports_is_explained(name):
    assert getattr(ap, name).__doc__, f"{name} has no docstring"


# ---- figures

@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_a_grid_of_images():
    rows = {
        "raw": torch.rand(3, 1, 4, 4),
        "key": 0.1 * torch.randn(3, 1, 4, 4),
        "colour": torch.rand(3, 3, 4, 4),
    }
    figure = figures.images(
        rows,
        titles=["a", "b", "c"],
        captions={"raw": ["one", "two", "three"]},
        perturbation_rows=["key"],
    )
    assert isinstance(figure, matplotlib.figure.Figure) and len(figure.axes) == 9
    assert [axis.get_title() for axis in figure.axes[:3]] == ["a", "b", "c"]
    assert [axis.get_xlabel() for axis in figure.axes[:3]] == ["one", "two", "three"]
    assert [figure.axes[3 * row].get_ylabel() for row in range(3)] == list(rows)
    raw, key = figure.axes[0].images[0], figure.axes[3].images[0]
    assert torch.equal(torch.as_tensor(raw.get_array()), rows["raw"][0, 0]) and raw.get_clim() == (
        0,
        1,
    )
    bound = rows["key"].abs().max().item()
    assert key.get_clim() == pytest.approx((-bound, bound)) and key.get_cmap().name == "RdBu_r"
    assert figure.axes[6].images[0].get_array().shape == (4, 4, 3)


def test_a_grid_of_images_with_a_limit():
    figure = figures.images({"key": torch.zeros(1, 1, 4, 4)}, perturbation_rows=["key"], limit=0.3)
    assert figure.axes[0].images[0].get_clim() == (-0.3, 0.3)
    assert (
        figures.images({"key": torch.zeros(1, 1, 4, 4)}, perturbation_rows=["key"])
        .axes[0]
        .images[0]
        .get_clim()[1]
        > 0
    )


def test_a_confusion_matrix_shows_shares_of_rows():
    figure = figures.confusion(torch.tensor([[3, 1], [0, 0]]), ["cat", "dog"], "title")
    assert isinstance(figure, matplotlib.figure.Figure)
    axis = figure.axes[0]
    assert {(text.get_position(), text.get_text()) for text in axis.texts} == {
        ((0, 0), "75"),
        ((1, 0), "25"),
    }
    assert axis.get_xlabel() == "the network's answer" and axis.get_ylabel() == "true class"
    assert [label.get_text() for label in axis.get_xticklabels()] == [
        "cat",
        "dog",
    ] and axis.get_title() == "title"


def test_a_history():
    plain = ap.History([{"loss": 2.0, "accuracy": 0.5}, {"loss": 1.0, "accuracy": 0.75}])
    figure = figures.history(plain, chance=0.1)
    left, right = figure.axes
    assert isinstance(figure, matplotlib.figure.Figure)
    assert left.lines[0].get_ydata().tolist() == [2, 1] and right.lines[0].get_ydata().tolist() == [
        50,
        75,
    ]
    assert (
        right.get_ylabel() == "accuracy on validation images, %"
        and right.texts[0].get_text() == "chance"
    )
    guarded = ap.History(
        [{"loss": 2.0, "E_p": 1.0, "E_r": 0.5, "size": 3.0, "authorized": 0.9, "unauthorized": 0.1}]
    )
    assert [len(axis.lines) for axis in figures.history(guarded).axes] == [3, 2]


def test_a_curve():
    figure = figures.curve(
        [1, 2], {"one": [3, 4], "two": [5, 6]}, "σ, pixels", "accuracy, %", marks={"chance": 10}
    )
    axis = figure.axes[0]
    assert isinstance(figure, matplotlib.figure.Figure)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("σ, pixels", "accuracy, %")
    assert [list(line.get_ydata()) for line in axis.lines] == [[3, 4], [5, 6], [10, 10]]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["one", "two"]
    assert figures.curve([1], {"one": [2]}, "x", "y").axes[0].get_legend() is None


def test_pictures_leave_the_callers_style_alone():
    before = dict(plt.rcParams)
    figures.curve([1], {"one": [2]}, "x", "y")
    assert dict(plt.rcParams) == before


def test_the_colours_are_those_of_okabe_and_ito():
    assert {figures.BLUE, figures.ORANGE, figures.GREEN, figures.VERMILION, figures.PURPLE} == {
        "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"}


# ---- tables

def test_a_table_is_text_and_html():
    table = figures.Table(["attack", "accuracy, %"], [("one <pair>", 90.5), ("direct", None)])
    assert repr(table) == "attack      accuracy, %\none <pair>  90.5\ndirect"
    assert table._repr_html_() == (
        '<table class="table"><thead><tr><th>attack</th><th>accuracy, %</th></tr></thead><tbody>'
        "<tr><td>one &lt;pair&gt;</td><td>90.5</td></tr><tr><td>direct</td><td></td></tr></tbody>"
        "</table>"
    )
    headed = figures.Table(["attack", "accuracy, %"], ["with <a> key", ("one", 90.5)])
    assert repr(headed) == "attack  accuracy, %\nwith <a> key\none     90.5"
    assert (
        '<tr><th colspan="2" scope="rowgroup">with &lt;a&gt; key</th></tr><tr><td>one</td>'
        in headed._repr_html_()
    )
    with pytest.raises(ValueError, match="expected 2 cells in each row"):
        figures.Table(["a", "b"], [(1, 2, 3)])
