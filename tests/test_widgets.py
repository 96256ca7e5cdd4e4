"""Sliders and the playground, without a front end: what is drawn, how it is linked, what a move does in Python."""

import base64
import io
import re

import ipywidgets
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image
from toys import Linear, toy_linear, toy_split

import apdnn_lite as ap
from apdnn_lite import widgets

# ---- sliders


@pytest.fixture(autouse=True)
def no_figure_open():
    """Whatever tests ran before in this process: a figure that is open afterwards was left open here."""
    plt.close("all")


def test_a_slider_goes_over_its_values():
    slider = widgets.slider("σ", (0.05, 0.1, 0.2), 0.1)
    assert isinstance(slider, ipywidgets.SelectionSlider) and slider.value == 0.1 and slider.description == "σ"
    assert slider.options == (("0.05", 0.05), ("0.1", 0.1), ("0.2", 0.2)) and not slider.continuous_update
    with pytest.raises(ValueError, match="the slider 'σ' starts at 0.3, which is not among its values"):
        widgets.slider("σ", (0.05, 0.1, 0.2), 0.3)


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
    """What explore makes of draw_square: its sliders, the stack of stacks, and the output for messages."""
    sliders = {"height": widgets.slider("h", (1, 2, 3), height), "width": widgets.slider("w", (20, 30), width)}
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
    assert abs(stored - drawn).max() <= 16, "128 colours are enough for lines on white"


def test_the_picture_at_the_start_is_that_of_the_sliders():
    height, width, stack, _ = explored(height=3, width=20)
    assert stack.selected_index == 2 == height.index
    assert [inner.selected_index for inner in stack.children] == [0, 0, 0] and width.index == 0


def test_the_sliders_are_linked_in_the_browser(monkeypatch):
    links, jslink = [], ipywidgets.jslink
    monkeypatch.setattr(ipywidgets, "jslink", lambda source, target: links.append(jslink(source, target)))
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
    for place, inner in enumerate(stack.children):
        for frame in inner.children:
            frame.observe(lambda change, place=(place, inner.children.index(frame)): changed.append(place), names="value")
    height.value = 3
    assert changed == [], "nothing else changed, so the picture is the stored one"
    monkeypatch.setattr(f"{__name__}.brightness", 1.0)
    width.value = 20
    assert changed == [(2, 0)]
    assert pixels(stack.children[2].children[0]).min() == 255
    assert stack.children[2].children[1].value == before[2][1], "no other picture changes"
    assert plt.get_fignums() == [], "figures are left open"


def test_explore_refuses_what_it_cannot_show():
    slider = lambda count: widgets.slider("n", range(count), 0)  # noqa: E731
    with pytest.raises(TypeError, match="width must be a slider made by ap.widgets.slider, got IntSlider"):
        widgets.explore(draw_square, height=slider(2), width=ipywidgets.IntSlider())
    with pytest.raises(TypeError, match="draw_square needs one slider for each of its parameters.* got height: missing .*'width'"):
        widgets.explore(draw_square, height=slider(2))
    with pytest.raises(TypeError, match="draw_square needs one slider .* got height, width, depth: .*'depth'"):
        widgets.explore(draw_square, height=slider(2), width=slider(2), depth=slider(2))
    with pytest.raises(TypeError, match="has no parameter for a slider to change"):
        widgets.explore(lambda: None)
    with pytest.raises(ValueError, match=r"have 8 × 9 = 72 settings.*at most 60 fit into a page: give the sliders fewer values"):
        widgets.explore(draw_square, height=slider(8), width=slider(9))
    with pytest.raises(TypeError, match="must return the matplotlib figure it draws, got NoneType"):
        widgets.explore(lambda n: None, n=slider(2))


def test_explore_refuses_pictures_that_are_too_large(monkeypatch):
    monkeypatch.setattr(widgets, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"the 6 pictures of draw_square take [\d,]+ bytes; at most 100 fit into a page: give"):
        explored()


# ---- the playground

class Grainy(Linear):
    """Takes an image for class 1 if some pixel differs from its neighbour by 0.05, or else for class 0."""

    def forward(self, x):
        grain = (x[..., 1:] - x[..., :-1]).abs().amax(dim=(1, 2, 3))
        return torch.stack([torch.full_like(grain, 0.05), grain], dim=1) * 100


GREY, ONES = torch.full((8, 1, 6, 6), 0.5), torch.ones(8, dtype=torch.int64)


def grainy():
    return Grainy([[0.0], [0.0]]), ap.Fixed((1, 6, 6), 0.1, 0.2, seed=7)


def test_a_try_counts_right_answers_and_scores_them_without_labels():
    net, _ = grainy()
    found, key, logits = widgets.try_key(net, GREY, 0.1, 0.5, seed=3, labels=ONES)
    assert (found.sigma, found.p, found.seed, found.accuracy, found.worth) == (0.1, 0.5, 3, 1.0, 1.0)
    assert logits.shape == (8, 2) and sorted(key.key.unique().tolist()) == pytest.approx([-0.1, 0.1])
    assert found.score == pytest.approx(0, abs=1e-6), "answers that are all the same tell nothing"
    blind, _, _ = widgets.try_key(net, GREY, 0.01, 0.5, seed=3)
    assert blind.accuracy is None and blind.worth == blind.score
    sure = torch.tensor([[50.0, 0], [0, 50.0]]).repeat(4, 1)
    assert ap.attacks.decisiveness(sure) / np.log(2) == pytest.approx(1), "the highest possible score"


def test_a_guess_is_reproducible_and_never_the_owners_key():
    one, again, other = (widgets.guessed_key(GREY, 0.1, 0.2, seed) for seed in (7, 7, 8))
    assert torch.equal(one.key, again.key) and not torch.equal(one.key, other.key)
    assert not torch.equal(one.key, ap.Fixed((1, 6, 6), 0.1, 0.2, seed=7).key)


def test_answers_with_and_without_names_and_labels():
    logits = torch.tensor([[0.0, 9.0], [9.0, 0.0]])
    assert widgets.answers(logits) == ["1 100%", "0 100%"]
    right, wrong = widgets.answers(logits, torch.tensor([1, 1]), ["cat", "<dog>"])
    assert "✓ &lt;dog&gt; 100%" in right and "✗ cat 100%" in wrong


def test_a_small_picture_shows_images_and_perturbations():
    def shown(text):
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", text)[1]))))

    assert shown(widgets.small_picture(torch.tensor([[[-0.5, 1.5]]]), "alt")).tolist() == [[0, 255]]
    assert shown(widgets.small_picture(torch.zeros(3, 4, 5), "alt")).shape == (4, 5, 3)
    red, blue = shown(widgets.small_picture(torch.tensor([[[0.3, -0.3]]]), "alt", limit=0.3))[0]
    assert red[0] > red[2] and blue[2] > blue[0]


def test_the_list_names_the_best_try_and_counts_all():
    tries = [widgets.Try(0.1, 0.2, seed, accuracy, 0.5) for seed, accuracy in enumerate((0.31, 0.87, 0.33, 1.0, 0.05, 0.38))]
    text = widgets.list_of_tries(tries, last=2)
    assert "<b>best of 6:</b> seed 3, σ = 0.1, p = 0.2: accuracy 100%" in text
    assert "<p>seed 5, σ = 0.1, p = 0.2: accuracy 38%<br>seed 4, σ = 0.1, p = 0.2: accuracy 5%</p>" in text
    assert [int(count) for count in re.findall(r"<td>(\d+)</td>", text)] == [1, 0, 0, 3, 0, 0, 0, 0, 1, 1]


def parts(box):
    sigma, p, row, view, record, messages = box.children
    return sigma, p, *row.children, view, record, messages


def test_the_playground_tries_what_its_sliders_say():
    net, key = grainy()
    sigma, p, seed, one, many, view, record, messages = parts(widgets.playground(net, key, GREY, ONES, classes=["flat", "grainy"]))
    assert "authorized 100%, unauthorized 0%, <b>with your key 100%</b>" in view.value
    assert view.value.count("<img") == 4 * 6 and "✗ flat" in view.value and "✓ grainy" in view.value
    assert "best of 1" in record.value
    sigma.value = 0.02
    assert "<b>with your key 0%</b>" in view.value and "best of 2:</b> seed 0, σ = 0.1, p = 0.2: accuracy 100%" in record.value
    one.click()
    assert seed.value == 1 and "best of 3" in record.value
    many.click()
    assert seed.value == 21 and "best of 23" in record.value
    seed.value = 0
    assert "best of 23" in record.value, "a try that is looked at again is counted once"
    assert messages.outputs == ()


def test_the_playground_without_labels_shows_the_thiefs_score():
    split = toy_split(count=20, classes=10)
    net, key = toy_linear(), ap.Generator(1, seed=0)
    _, _, _, _, _, view, record, _ = parts(widgets.playground(net, key, split.images))
    assert "accuracy on" not in view.value and "no labels" in view.value and "score" in record.value
    assert "✓" not in view.value and "✗" not in view.value


def test_the_playground_leaves_the_network_as_it_was():
    net, key = grainy()
    net.train()
    widgets.playground(net, key, GREY, ONES)
    assert net.training


def test_the_playground_clips_where_the_owner_does():
    net, key = grainy()
    key.clip = True
    black = torch.zeros(8, 1, 6, 6)
    found, guess, _ = widgets.try_key(net, black, 0.1, 0.2, 0, clip=True)
    assert guess(black).min() == 0
    widgets.playground(net, key, black, ONES)


@pytest.mark.parametrize("change, error, words", [
    ({"net": "resnet20"}, TypeError, "net must be a torch module, got str"),
    ({"key": torch.zeros(1, 6, 6)}, TypeError, "key must be a torch module, got Tensor"),
    ({"images": GREY[0]}, ValueError, r"images must be a tensor \(N, C, H, W\).*got \(1, 6, 6\)"),
    ({"images": [GREY]}, ValueError, r"images must be a tensor .*got list"),
    ({"images": 255 * GREY}, ValueError, r"pixels in \[0, 1\]; got 128 to 128"),
    ({"images": GREY[:0]}, ValueError, r"with N ≥ 1"),
    ({"labels": ONES[:3]}, ValueError, r"one label for each of the 8 images, or None; got \(3,\)"),
    ({"labels": [1] * 8}, ValueError, "one label for each of the 8 images, or None; got list"),
    ({"key": ap.Fixed((1, 5, 5), 0.1, 0.2, seed=0)}, ValueError, r"this transform is for images of shape \(N, 1, 5, 5\)"),
])
def test_the_playground_refuses_what_does_not_fit_together(change, error, words):
    net, key = grainy()
    with pytest.raises(error, match=words):
        widgets.playground(**{"net": net, "key": key, "images": GREY, "labels": ONES} | change)
