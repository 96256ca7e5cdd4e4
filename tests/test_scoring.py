"""A thief's scores in fewer digits pick what float32 does. bfloat16 works on every processor."""

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from toys import Linear, TinyCNN, same, state_of, toy_linear, toy_split

import apdnn_lite as ap
from apdnn_lite import _machine, _scoring, attacks

IMAGES = toy_split(12).images


class Noted(nn.Module):
    """A network that notes in which type of numbers it is asked to multiply.

    ``answer`` changes its logits, given the type.
    """

    def __init__(self, net=None, answer=lambda logits, numbers: logits):
        super().__init__()
        self.net, self.answer, self.seen = net or toy_linear(), answer, []

    def forward(self, x):
        logits = self.net(x)
        fewer = torch.is_autocast_enabled("cpu") and logits.dtype != torch.float64
        self.seen.append(torch.get_autocast_dtype("cpu") if fewer else logits.dtype)
        return self.answer(logits, self.seen[-1])


def both(net, transforms, precision="bfloat16", images=IMAGES):
    """The candidates of a thief with float32 alone, and of one with another precision."""
    return (attacks.candidates(net, images, transforms),
            attacks.candidates(net, images, transforms, precision))


@pytest.fixture
def gains(monkeypatch):
    monkeypatch.setattr(_machine, "cpu_gains_by_bfloat16", lambda: True)


# ---- the pick

def halves(scale=1.0):
    """Images, and a network that is sure of 0 or 1 by the first pixel alone."""
    images = torch.full((8, 1, 8, 8), 0.5)
    images[:4, 0, 0, 0] = 0.25
    weight = torch.zeros(2, 64)
    weight[0, 0], weight[1, 0] = -scale, scale
    return Linear(weight, [0.375 * scale, -0.375 * scale]), images


def test_the_best_is_picked_where_bfloat16_sees_no_difference_or_the_wrong_one():
    # bfloat16 rounds both strengths to 1, and 0.9961 below what is the best to it.
    net, images = halves(scale=8.0)
    keys = [Strength(each) for each in (1.001, 1.002, 0.4, 1.003, 0.1)]
    exact = [attacks.decisiveness(net(key(images)).detach()) for key in keys]
    with torch.autocast("cpu", torch.bfloat16):
        rough = [attacks.decisiveness(net(key(images)).detach().float()) for key in keys]
    assert exact.index(max(exact)) == 3 != rough.index(max(rough)), (
        "bfloat16 alone would do here: this test shows nothing")
    alone, found = both(net, keys, images=images)
    assert alone.scores == exact and found.picked == alone.picked == 3
    assert found.scores[3] == exact[3], "the score of the pick is that of float32"
    assert found.scores[4] == rough[4] != exact[4], "what is far behind is scored once"


class Strength(ap.Transform):
    """Moves the first pixel away from 0.375 by a factor."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def perturbation(self, x):
        change = torch.zeros_like(x)
        change[:, 0, 0, 0] = (self.factor - 1) * (x[:, 0, 0, 0] - 0.375)
        return change


ERRORS = st.floats(-_scoring.MARGIN, _scoring.MARGIN)


@given(st.lists(st.tuples(st.floats(0, 2.3), ERRORS), min_size=1, max_size=12))
@example([(1.0, -0.2), (1.0, 0.2)])
@example([(0.99, 0.2), (1.0, -0.1999), (0.5, 0.0)])
def test_no_error_within_the_margin_changes_the_pick(candidates):
    exact = [score for score, _ in candidates]
    rough = [score + error for score, error in candidates]
    asked = []

    def again(place):
        asked.append(place)
        return exact[place]

    scores = _scoring.exact_at_the_top(rough, again)
    assert scores.index(max(scores)) == exact.index(max(exact))
    assert all(score == (exact if place in asked else rough)[place]
               for place, score in enumerate(scores)) and len(set(asked)) == len(asked)


def test_a_network_that_moves_scores_far_gets_a_wider_margin():
    exact = [1.0, 1.0, 1.2]  # the third is 0.6 too low, and 0.8 is what the first tells to expect
    assert _scoring.exact_at_the_top([1.4, 1.35, 0.6], exact.__getitem__) == exact
    assert _scoring.exact_at_the_top([1.0, 1.0, 0.6], exact.__getitem__) == [1.0, 1.0, 0.6]


def test_far_candidates_are_not_asked_again():
    asked = []
    _scoring.exact_at_the_top([0.2, 1.0, 0.95, 0.79, 0.5], lambda place: asked.append(place) or 1.0)
    assert asked == [1, 2], "those within the margin of the best, from the top down"


# ---- what is lost or refuses

def test_what_has_no_rough_score_is_scored_again():
    assert _scoring.exact_at_the_top([1.0, -math.inf, 0.2], [1.0, 1.5, 0.2].__getitem__) == [
        1.0, 1.5, 0.2]
    assert _scoring.exact_at_the_top([1.0, 0.3], [-math.inf, 0.3].__getitem__) == [-math.inf, 0.3]


@pytest.mark.parametrize("lost_in", [{torch.bfloat16}, {torch.float32},
                                     {torch.bfloat16, torch.float32}])
def test_a_network_that_answers_nan(lost_in):
    net = Noted(answer=lambda logits, numbers: logits * math.nan if numbers in lost_in else logits)
    alone, found = both(net, [ap.Shift(each) for each in (0.0, 0.1, 0.2)])
    assert found.scores == alone.scores and torch.bfloat16 in net.seen
    assert (alone.scores == [-math.inf] * 3) == (torch.float32 in lost_in)


@pytest.mark.parametrize("numbers", [torch.float64, torch.float16, torch.bfloat16])
def test_a_network_with_other_numbers_than_float32_is_asked_as_it_is(numbers):
    net = Noted(toy_linear().to(numbers))
    alone, found = both(net, [ap.Shift(0.0), ap.Shift(0.1)])
    assert found.scores == alone.scores and set(net.seen) == {numbers}


@pytest.mark.parametrize("error", [RuntimeError, TypeError])
def test_a_network_that_fails_in_bfloat16_is_asked_in_float32(error):
    def refuse(logits, numbers):
        if numbers != torch.float32:
            raise error("expected scalar type Float but found BFloat16")
        return logits

    net = Noted(answer=refuse)
    alone, found = both(net, [ap.Shift(0.0), ap.Shift(0.1)])
    assert found.scores == alone.scores and torch.bfloat16 in net.seen


def test_a_network_that_fails_in_both_says_why():
    def refuse(logits, numbers):
        raise RuntimeError("a reason of its own")

    with pytest.raises(RuntimeError, match="a reason of its own"):
        attacks.candidates(Noted(answer=refuse), IMAGES, [ap.Shift(0.0)], "bfloat16")


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="unknown precision 'half': expected one of auto, float32"):
        attacks.candidates(toy_linear(), IMAGES, [ap.Shift(0.0)], "half")


# ---- when

def test_without_being_asked_every_score_is_that_of_float32(gains):
    net = Noted()
    attacks.candidates(net, IMAGES, [ap.Shift(0.0)])
    attacks.input_only(net, IMAGES, 0.1, 0.2, draws=2)
    assert set(net.seen) == {torch.float32}


@pytest.mark.parametrize("faster", [True, False])
def test_auto_goes_by_the_processor(monkeypatch, faster):
    monkeypatch.setattr(_machine, "cpu_gains_by_bfloat16", lambda: faster)
    net = Noted()
    alone, found = both(net, [ap.Shift(each) for each in (0.0, 0.3)], "auto")
    assert (torch.bfloat16 in net.seen) == faster and found.picked == alone.picked
    assert faster or found.scores == alone.scores


# ---- what is borrowed

@pytest.mark.parametrize("training", [True, False])
def test_the_network_and_the_random_state_are_left_as_they_were(training):
    net = TinyCNN().train(training)
    before, random = state_of(net), torch.get_rng_state()
    attacks.candidates(net, IMAGES, [ap.Shift(0.0), ap.Shift(0.1)], "bfloat16")
    assert same(state_of(net), before) and net.training == training
    assert torch.equal(torch.get_rng_state(), random) and not torch.is_autocast_enabled("cpu")
