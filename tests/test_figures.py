"""Pictures and tables: what is drawn, and what is refused."""

import matplotlib
import pytest
import torch
from matplotlib import pyplot as plt

import apdnn_lite as ap
from apdnn_lite import figures


def test_a_grid_of_images():
    rows = {
        "raw": torch.rand(3, 1, 4, 4),
        "key": 0.1 * torch.randn(3, 1, 4, 4),
        "color": torch.rand(3, 3, 4, 4),
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
    figure.canvas.draw()
    places = [axis.get_window_extent() for axis in figure.axes]
    assert {round(place.height) for place in places} == {round(places[0].height)}
    assert all(abs(place.x0 - places[number % 3].x0) < 1 for number, place in enumerate(places))


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
    top, below = figure.axes
    assert isinstance(figure, matplotlib.figure.Figure)
    assert top.lines[0].get_ydata().tolist() == [2, 1] and below.lines[0].get_ydata().tolist() == [
        50,
        75,
    ]
    assert (
        below.get_ylabel() == "validation accuracy, %"
        and below.texts[0].get_text() == "chance"
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


def test_the_colors_are_those_of_okabe_and_ito():
    assert {figures.BLUE, figures.ORANGE, figures.GREEN, figures.VERMILION, figures.PURPLE} == {
        "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"}


# ---- tables

def test_a_table_is_text_and_html():
    table = figures.Table(["attack", "accuracy, %"], [("one <pair>", 90.5), ("direct", None)])
    assert repr(table) == "attack      accuracy, %\none <pair>  90.5\ndirect"
    assert (
        table._repr_html_()
        == '<table class="table"><thead><tr><th scope="col">attack</th><th scope="col">accuracy,'
        ' %</th></tr></thead><tbody><tr><th scope="row">one'
        " &lt;pair&gt;</th><td>90.5</td></tr><tr><th"
        ' scope="row">direct</th><td></td></tr></tbody></table>'
    )
    headed = figures.Table(["attack", "accuracy, %"], ["with <a> key", ("one", 90.5)])
    assert repr(headed) == "attack  accuracy, %\nwith <a> key\none     90.5"
    assert (
        '<tr><th colspan="2" scope="rowgroup">with &lt;a&gt; key</th></tr><tr><th'
        ' scope="row">one</th>'
        in headed._repr_html_()
    )
    with pytest.raises(ValueError, match="expected 2 cells in each row"):
        figures.Table(["a", "b"], [(1, 2, 3)])
    with pytest.raises(
        ValueError, match="expected 2 cells in each row, as many as column names, got int"
    ):
        figures.Table(["a", "b"], [7])


def test_a_table_sets_cells_in_bold_and_the_names_of_columns_upright():
    table = figures.Table(["lock", "a long <thief>"], [("one", figures.Bold("90")), ("two", 8)],
                          upright=True)
    assert repr(table) == "lock  a long <thief>\none   *90*\ntwo   8"
    found = table._repr_html_()
    assert found.startswith('<table class="table upright"><thead><tr><th scope="col">lock</th>')
    assert '<th scope="col"><span style="writing-mode: vertical-rl; ' in found
    assert 'nowrap">a long &lt;thief&gt;</span></th></tr></thead>' in found
    assert "<td><strong>90</strong></td></tr>" in found and "<td>8</td>" in found


def test_a_table_has_no_heading_without_text():
    table = figures.Table(["", "a"], [(None, 1)])
    assert table._repr_html_() == (
        '<table class="table"><thead><tr><td></td><th scope="col">a</th></tr></thead><tbody>'
        "<tr><td></td><td>1</td></tr></tbody></table>"
    )


# ---- what cannot be drawn

X = torch.rand(3, 1, 4, 4)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"rows": {}}, "expected rows with the same number of images, one or more; got no rows"),
        ({"rows": {"a": X[:0]}}, "got {'a': 0}"),
        ({"rows": {"a": X, "b": X[:2]}}, "got {'a': 3, 'b': 2}"),
        (
            {"rows": {"a": X[0]}},
            "row 'a' must be a tensor .N, C, H, W. with one channel or three, got Tensor of shape",
        ),
        (
            {"rows": {"a": X.expand(3, 2, 4, 4)}},
            "one channel or three, got Tensor of shape .3, 2, 4, 4.",
        ),
        ({"rows": {"a": [1, 2]}}, "got list"),
        (
            {"rows": {"a": X}, "captions": {"a": ["1", "2"]}},
            "captions of 'a': expected 3 texts, one for each column, got 2",
        ),
        (
            {"rows": {"a": X}, "captions": {"b": ["1", "2", "3"]}},
            r"name \['b'\]; the rows are \['a'\]",
        ),
        ({"rows": {"a": X}, "perturbation_rows": ["key"]}, r"name \['key'\]; the rows are \['a'\]"),
        (
            {"rows": {"a": X}, "titles": ["1"]},
            "titles: expected 3 texts, one for each column, got 1",
        ),
    ],
)
def test_a_grid_refuses_what_does_not_fit_together(arguments, words):
    with pytest.raises(ValueError, match=words):
        figures.images(**arguments)
    assert plt.get_fignums() == [], "nothing is left half drawn"


def test_pixels_that_are_no_numbers_are_drawn_in_a_color_of_their_own():
    broken = X.clone()
    broken[0, 0, 0, 0] = float("nan")
    broken[1, 0, 0, 0] = float("inf")
    figure = figures.images({"raw": broken, "key": broken - 0.5}, perturbation_rows=["key"])
    raw, key = figure.axes[0].images[0], figure.axes[3].images[0]
    for picture in (raw, key):
        assert (
            matplotlib.colors.to_hex(picture.to_rgba(picture.get_array())[0, 0])
            == figures.PURPLE.lower()
        )
    assert key.get_clim()[1] == pytest.approx((X - 0.5).flatten()[1:].abs().max().item(), abs=0.1)
    figure.canvas.draw()
    figures.images({"a": torch.full((1, 3, 4, 4), float("nan"))})


def test_one_image_and_a_transform_that_learns_are_drawn():
    assert len(figures.images({"a": X[:1]}).axes) == 1
    learned = ap.Learned((1, 4, 4), seed=0)
    figure = figures.processed(X, {"learned": learned})
    assert len(figure.axes) == 9 and learned.delta.grad is None


def test_processed_images_and_their_perturbations():
    key = ap.Fixed((1, 4, 4), 0.09, 0.3, seed=0)
    figure = figures.processed(X, {"key": key}, titles=["a", "b", "c"])
    names = [figure.axes[3 * row].get_ylabel() for row in range(3)]
    assert names == ["raw", "key", "key, δ × 10"]
    shown = torch.as_tensor(figure.axes[6].images[0].get_array())
    assert torch.allclose(shown, 10 * key.key[0], atol=1e-5)
    assert figure.axes[6].images[0].get_clim() == (-0.5, 0.5)
    strong = figures.processed(X, {"key": ap.Fixed((1, 4, 4), 0.6, 0.3, seed=0)})
    assert strong.axes[6].get_ylabel() == "key, δ × 1"


def test_a_confusion_matrix_needs_as_many_names_as_classes():
    figures.confusion(torch.zeros(3, 3, dtype=torch.int64), list("abc"))
    with pytest.raises(ValueError, match=r"expected counts \(2, 2\), got Tensor of shape \(3, 3\)"):
        figures.confusion(torch.zeros(3, 3, dtype=torch.int64), ["a", "b"])


def test_a_curve_for_each_of_many_series():
    assert (
        len(figures.curve([1, 2], {str(n): [n, n] for n in range(7)}, "x", "y").axes[0].lines) == 7
    )


def test_a_history_without_an_epoch_is_refused():
    with pytest.raises(ValueError, match="no epoch was finished"):
        figures.history(ap.History([]))
