"""The playground of Jupyter, without a front end: what it tries and shows, what a move does."""

import base64
import io
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from toys import Linear, toy_linear, toy_split

import apdnn_lite as ap

playground = sys.modules["apdnn_lite.playground"]


class Grainy(Linear):
    """Takes an image for class 1 if some pixel is 0.05 off its neighbor, or else for class 0."""

    def forward(self, x):
        grain = (x[..., 1:] - x[..., :-1]).abs().amax(dim=(1, 2, 3))
        return torch.stack([torch.full_like(grain, 0.05), grain], dim=1) * 100


GRAY, ONES = torch.full((8, 1, 6, 6), 0.5), torch.ones(8, dtype=torch.int64)


def grainy():
    return Grainy([[0.0], [0.0]]), ap.Fixed((1, 6, 6), 0.1, 0.2, seed=7)


def test_a_try_counts_right_answers_and_scores_them_without_labels():
    net, _ = grainy()
    found, key, logits = playground.try_key(net, GRAY, 0.1, 0.5, seed=3, labels=ONES)
    assert (found.sigma, found.p, found.seed, found.accuracy, found.worth) == (
        0.1,
        0.5,
        3,
        1.0,
        1.0,
    )
    assert logits.shape == (8, 2) and sorted(key.key.unique().tolist()) == pytest.approx(
        [-0.1, 0.1]
    )
    assert found.score == pytest.approx(0, abs=1e-6), "answers that are all the same tell nothing"
    blind, _, _ = playground.try_key(net, GRAY, 0.01, 0.5, seed=3)
    assert blind.accuracy is None and blind.worth == blind.score
    sure = torch.tensor([[50.0, 0], [0, 50.0]]).repeat(4, 1)
    assert ap.attacks.decisiveness(sure) / np.log(2) == pytest.approx(1), (
        "the highest possible score"
    )


def test_a_guess_is_reproducible_and_never_the_owners_key():
    one, again, other = (playground.guessed_key(GRAY, 0.1, 0.2, seed) for seed in (7, 7, 8))
    assert torch.equal(one.key, again.key) and not torch.equal(one.key, other.key)
    assert not torch.equal(one.key, ap.Fixed((1, 6, 6), 0.1, 0.2, seed=7).key)


def test_answers_with_and_without_names_and_labels():
    logits = torch.tensor([[0.0, 9.0], [9.0, 0.0]])
    assert playground.answers(logits) == ["1 100%", "0 100%"]
    right, wrong = playground.answers(logits, torch.tensor([1, 1]), ["cat", "<dog>"])
    assert "✓ &lt;dog&gt; 100%" in right and "✗ cat 100%" in wrong


def test_a_small_picture_shows_images_and_perturbations():
    def shown(text):
        return np.asarray(
            Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", text)[1])))
        )

    assert shown(playground.small_picture(torch.tensor([[[-0.5, 1.5]]]), "alt")).tolist() == [
        [0, 255]
    ]
    assert shown(playground.small_picture(torch.zeros(3, 4, 5), "alt")).shape == (4, 5, 3)
    red, blue = shown(playground.small_picture(torch.tensor([[[0.3, -0.3]]]), "alt", limit=0.3))[0]
    assert red[0] > red[2] and blue[2] > blue[0]


def test_the_list_names_the_best_try_and_counts_all():
    tries = [
        playground.Try(0.1, 0.2, seed, accuracy, 0.5)
        for seed, accuracy in enumerate((0.31, 0.87, 0.33, 1.0, 0.05, 0.38))
    ]
    text = playground.list_of_tries(tries, last=2)
    assert "<b>best of 6:</b> seed 3, σ = 0.1, p = 0.2: accuracy 100%" in text
    assert (
        "<p>seed 5, σ = 0.1, p = 0.2: accuracy 38%<br>seed 4, σ = 0.1, p = 0.2: accuracy 5%</p>"
        in text
    )
    assert [int(count) for count in re.findall(r"<td>(\d+)</td>", text)] == [
        1,
        0,
        0,
        3,
        0,
        0,
        0,
        0,
        1,
        1,
    ]


def parts(box):
    sigma, p, row, view, record, messages = box.children
    return sigma, p, *row.children, view, record, messages


def test_the_playground_tries_what_its_sliders_say():
    net, key = grainy()
    sigma, p, seed, one, many, view, record, messages = parts(
        playground.playground(net, key, GRAY, ONES, classes=["flat", "grainy"])
    )
    assert "authorized 100%, unauthorized 0%, <b>with your key 100%</b>" in view.value
    assert view.value.count("<img") == 4 * 6 and "✗ flat" in view.value and "✓ grainy" in view.value
    assert "best of 1" in record.value
    sigma.value = 0.02
    assert (
        "<b>with your key 0%</b>" in view.value
        and "best of 2:</b> seed 0, σ = 0.1, p = 0.2: accuracy 100%" in record.value
    )
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
    _, _, _, _, _, view, record, _ = parts(playground.playground(net, key, split.images))
    assert "accuracy on" not in view.value and "no labels" in view.value and "score" in record.value
    assert "✓" not in view.value and "✗" not in view.value


def test_the_playground_leaves_the_network_as_it_was():
    net, key = grainy()
    net.train()
    playground.playground(net, key, GRAY, ONES)
    assert net.training


def test_the_playground_clips_where_the_owner_does():
    net, key = grainy()
    key.clip = True
    black = torch.zeros(8, 1, 6, 6)
    found, guess, _ = playground.try_key(net, black, 0.1, 0.2, 0, clip=True)
    assert guess(black).min() == 0
    playground.playground(net, key, black, ONES)


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"net": "resnet20"}, TypeError, "net must be a torch module, got str"),
        ({"key": torch.zeros(1, 6, 6)}, TypeError, "key must be a torch module, got Tensor"),
        (
            {"images": GRAY[0]},
            ValueError,
            r"images must be a tensor \(N, C, H, W\).*shape \(1, 6, 6\)",
        ),
        ({"images": [GRAY]}, ValueError, r"images must be a tensor .*got list"),
        ({"images": 255 * GRAY}, ValueError, "pixels in .* found values from 127.5 to 127.5"),
        ({"images": GRAY[:0]}, ValueError, r"with N ≥ 1"),
        (
            {"labels": ONES[:3]},
            ValueError,
            r"one label for each of 8 images, got Tensor of shape \(3,\)",
        ),
        ({"labels": [1] * 8}, ValueError, "one label for each of 8 images, got list"),
        (
            {"labels": 7 * ONES},
            ValueError,
            "labels must be from 0 to 1, as the network's answers; got 7 to 7",
        ),
        ({"labels": -ONES}, ValueError, "got -1 to -1"),
        (
            {"classes": ["a", "b", "c"]},
            ValueError,
            "the network knows 2 classes, and there are 3 names",
        ),
        ({"shown": 0}, ValueError, "shown must be a whole number, 1 or more, got 0"),
        (
            {"key": ap.Fixed((1, 5, 5), 0.1, 0.2, seed=0)},
            ValueError,
            r"this transform is for images of shape \(N, 1, 5, 5\)",
        ),
    ],
)
def test_the_playground_refuses_what_does_not_fit_together(change, error, words):
    net, key = grainy()
    with pytest.raises(error, match=words):
        playground.playground(**{"net": net, "key": key, "images": GRAY, "labels": ONES} | change)


def test_the_playground_is_one_of_the_widgets_to_a_chapter():
    assert ap.widgets.playground is playground.playground


@pytest.mark.parametrize(
    "names", [["flat", "grainy"], ("flat", "grainy"), np.array(["flat", "grainy"])]
)
def test_names_may_come_in_any_sequence(names):
    net, key = grainy()
    view = parts(playground.playground(net, key, GRAY, ONES, classes=names))[5]
    assert "✓ grainy" in view.value


class Broken(Linear):
    """Answers images that are not quite gray with NaN."""

    def forward(self, x):
        return (
            torch.stack([x.mean(dim=(1, 2, 3))] * 2, dim=1)
            / (x.amax(dim=(1, 2, 3)) <= 0.5)[:, None].float()
            * 0
        )


def test_a_network_that_answers_nan_is_reported_not_scored():
    net, key = Broken([[0.0], [0.0]]), ap.Fixed((1, 6, 6), 0.1, 0.2, seed=7)
    with pytest.raises(ValueError, match="logits are NaN or infinite for 8 of 8 images"):
        playground.playground(net, key, GRAY, ONES)


def test_a_network_of_one_class_is_refused():
    class One(Linear):
        def forward(self, x):
            return x.mean(dim=(2, 3))

    with pytest.raises(ValueError, match="expected a network that tells two classes or more"):
        playground.playground(One([[0.0], [0.0]]), ap.Fixed((1, 6, 6), 0.1, 0.2, seed=7), GRAY)


def test_a_try_says_what_it_is():
    assert str(playground.Try(0.05, 0.2, 3, None, 0.5)) == "seed 3, σ = 0.05, p = 0.2: score 50%"
    assert str(playground.Try(0.05, 0.2, 3, 0.25, 0.5)) == "seed 3, σ = 0.05, p = 0.2: accuracy 25%"
