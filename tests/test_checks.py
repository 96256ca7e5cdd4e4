"""What an argument must be: values at and beyond every bound, and the words of each refusal."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from apdnn_lite import _checks as checks
from apdnn_lite import _state


@pytest.mark.parametrize("value", [1, np.int64(1), np.uint8(1), 7, 2**80])
def test_whole_numbers(value):
    found = checks.whole_number("epochs", value)
    assert found == value and type(found) is int


@pytest.mark.parametrize(
    "value", [0, -1, 1.0, True, np.True_, "1", None, math.nan, np.array([1]), torch.tensor(1)]
)
def test_what_is_no_whole_number(value):
    with pytest.raises(ValueError, match="epochs must be a whole number, 1 or more, got "):
        checks.whole_number("epochs", value)


def test_the_least_whole_number():
    assert checks.whole_number("seed", 0, least=0) == 0
    with pytest.raises(ValueError, match="n must be a whole number, 4 or more, got 3"):
        checks.whole_number("n", 3, least=4)


@pytest.mark.parametrize(
    "value",
    [0, 0.5, np.float32(0.5), np.float64(1), Fraction(1, 4), torch.tensor(0.5), np.array([0.5]), 1],
)
def test_real_numbers(value):
    found = checks.real_number("p", value, high=1)
    assert type(found) is float and found == float(np.asarray(value, dtype=float).item())


@pytest.mark.parametrize(
    "value",
    [
        -1e-9,
        1.001,
        math.nan,
        math.inf,
        -math.inf,
        True,
        "0.5",
        None,
        10**400,
        np.float32("nan"),
        torch.tensor([0.1, 0.2]),
        1j,
    ],
)
def test_what_is_no_real_number(value):
    with pytest.raises(
        ValueError, match="p must be a finite number at least 0 and at most 1, here, got "
    ):
        checks.real_number("p", value, high=1, unit=", here")


def test_bounds_of_a_real_number_and_their_words():
    assert (
        checks.real_number("x", -5, low=-math.inf) == -5 and checks.real_number("x", 1e300) == 1e300
    )
    assert checks.real_number("x", 2, low=2, high=2) == 2
    for options, words in (
        ({"low": -math.inf, "high": 3}, "x must be a finite number at most 3, got 4"),
        ({"low": 4, "above": True}, "x must be a finite number above 4, got 4"),
        ({"low": 5, "high": 6}, "x must be a finite number at least 5 and at most 6, got 4"),
    ):
        with pytest.raises(ValueError, match=words):
            checks.real_number("x", 4, **options)
    with pytest.raises(ValueError, match="x must be a finite number, got inf"):
        checks.real_number("x", math.inf, low=-math.inf)


def test_a_strength_is_above_0_and_at_most_100():
    assert checks.strength("sigma", 100) == 100 and checks.strength("sigma", 1e-9) == 1e-9
    for value in (0, 100.001):
        with pytest.raises(
            ValueError, match="sigma must be a finite number above 0 and at most 100, got"
        ):
            checks.strength("sigma", value)


def test_yes_or_no_and_names():
    assert checks.yes_or_no("clip", True) is True and checks.yes_or_no("clip", np.False_) is False
    for value in (0, 1, "False", None):
        with pytest.raises(ValueError, match=f"clip must be True or False, got {value!r}"):
            checks.yes_or_no("clip", value)
    assert checks.one_of("form", "a", ("a", "b")) == "a"
    for value in ("c", None, ["a"]):
        with pytest.raises(ValueError, match="unknown form .*: expected one of a, b"):
            checks.one_of("form", value, ("a", "b"))


@pytest.mark.parametrize(
    "seed",
    [
        None,
        0,
        7,
        np.int64(7),
        2**70,
        np.random.SeedSequence(5, spawn_key=(1,)),
        np.random.SeedSequence([1, 2]),
        np.random.SeedSequence(5, pool_size=8),
    ],
)
def test_seeds_go_through_json_and_draw_the_same(seed):
    checked = checks.checked_seed(seed)
    again = checks.checked_seed(json.loads(json.dumps(checks.plain_seed(checked))))
    if seed is not None:
        assert np.random.default_rng(again).random() == np.random.default_rng(seed).random()
    assert (again is None) == (seed is None)
    assert isinstance(again, int) == isinstance(seed, int | np.integer)


@pytest.mark.parametrize(
    "seed", [-1, True, 1.5, "7", {}, {"entropy": None}, {"entropy": 1, "spawn": 2}]
)
def test_what_is_no_seed(seed):
    with pytest.raises(ValueError, match="^seed must "):
        checks.checked_seed(seed)


def test_what_is_drawn_by_a_seed_leaves_the_caller_as_he_was():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with pytest.raises(KeyError), _state.drawn_by(3):
        drawn = torch.rand(2)
        raise KeyError
    assert torch.equal(before, torch.get_rng_state()) and torch.get_default_dtype() == torch.float32
    expected = torch.Generator().manual_seed(int(np.random.SeedSequence(3).generate_state(1)[0]))
    assert torch.equal(drawn, torch.rand(2, generator=expected))


def test_labels_are_looked_at_on_the_cpu_alone():
    checks.check_labels(torch.tensor([0, 3]), 2, num_classes=4)
    checks.check_labels(torch.tensor([9, -1]), 2)
    checks.check_labels(torch.zeros(2, dtype=torch.int64, device="meta"), 2, num_classes=4)
    for wrong in ([0, 4], [-1, 0]):
        with pytest.raises(
            ValueError, match=f"y must lie in 0 … 3.*found {min(wrong)} … {max(wrong)}"
        ):
            checks.check_labels(torch.tensor(wrong), 2, "y", num_classes=4)


def test_raw_images():
    checks.check_images(torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2))
    checks.check_images(torch.full((1, 1, 2, 2), 1.5), raw=False)
    for value, words in (
        (1.001, "must be raw"),
        (-0.001, "must be raw"),
        (math.nan, "finite"),
        (math.inf, "finite"),
    ):
        with pytest.raises(ValueError, match=words):
            checks.check_images(torch.full((1, 1, 2, 2), value))
    for wrong in (
        torch.zeros(0, 1, 2, 2),
        torch.zeros(1, 2, 2),
        [0.5],
        torch.zeros(1, 1, 2, 2, dtype=torch.uint8),
    ):
        with pytest.raises(ValueError, match="^x must "):
            checks.check_images(wrong, "x")
