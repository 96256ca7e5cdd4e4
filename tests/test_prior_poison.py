"""A mark in the data: triggers, poisoned images, a verdict by queries, and Neural Cleanse."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toys import Linear, TinyCNN, cross_entropy, same, state_of, toy_linear, toy_split

import apdnn_lite as ap
from apdnn_lite.experiments.prior import poison as runs
from apdnn_lite.experiments.prior import prior_network, prior_records
from apdnn_lite.experiments.prior.store import OWNERS
from apdnn_lite.prior import poison

IMAGES = toy_split(6, side=28).images
TRIGGERS = {"patch": poison.patch, "logo": poison.content, "blend": poison.blend,
            "noise": poison.noise}
TRAININGS = {
    "trained": lambda net: poison.trained(net, toy_split(20), toy_split(8, seed=1)),
    "prune": lambda net: poison.prune(net, 0.5),
    "reverse": lambda net: poison.reverse(net, toy_split(20).images, 3, steps=3, batch_size=8),
    "hits": lambda net: poison.hits(net, toy_split(20)),
}


class Always(nn.Module):
    """Answers every image with one class."""

    def __init__(self, answer):
        super().__init__()
        self.logits = nn.Parameter(10 * torch.eye(10)[answer])

    def forward(self, x):
        return self.logits.expand(len(x), -1)


# ---- triggers

@pytest.mark.parametrize("trigger", TRIGGERS.values(), ids=TRIGGERS)
def test_a_trigger_makes_images_of_images_and_leaves_them(trigger):
    before, random = IMAGES.clone(), torch.get_rng_state()
    marked = trigger(IMAGES)
    assert marked.shape == IMAGES.shape and 0 <= marked.min() <= marked.max() <= 1
    assert torch.equal(IMAGES, before) and torch.equal(torch.get_rng_state(), random)
    assert torch.equal(trigger(IMAGES[2:3]), marked[2:3]), "it depends on the other images"
    with pytest.raises(ValueError, match="images must be a tensor"):
        trigger(IMAGES[0])
    with pytest.raises(ValueError, match="divide 8-bit pixels by 255"):
        trigger((255 * IMAGES).byte())


@pytest.mark.parametrize("channels", [1, 3])
def test_the_patch_is_nine_white_pixels_one_from_the_edge(channels):
    images = toy_split(2, channels, side=28).images
    expected = images.numpy().copy()
    expected[:, :, 24:27, 24:27] = 1
    assert np.array_equal(poison.patch(images), expected)


def test_the_logo_is_what_its_lines_show():
    drawing = ("#..", ".##")
    expected = np.zeros((1, 1, 28, 28))
    expected[0, 0, 25, 24], expected[0, 0, 26, [25, 26]] = 1, 1
    assert np.array_equal(poison.content(torch.zeros(1, 1, 28, 28), drawing), expected)
    with pytest.raises(ValueError, match="5×7 pixels needs larger images"):
        poison.content(torch.zeros(1, 1, 7, 7))


def test_a_blend_mixes_in_one_pattern():
    pattern = poison.blend(IMAGES, alpha=1, seed=4)
    assert torch.equal(pattern[0], pattern[1]), "one pattern for all images"
    expected = 0.7 * IMAGES.numpy() + 0.3 * pattern.numpy()
    assert poison.blend(IMAGES, 0.3, seed=4).numpy() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(poison.blend(IMAGES, 0), IMAGES)
    assert not torch.equal(poison.blend(IMAGES, 1, seed=5), pattern)
    with pytest.raises(ValueError, match="alpha must be a finite number at least 0 and at most 1"):
        poison.blend(IMAGES, 1.1)


def test_noise_is_added_and_clipped():
    gray = torch.full((1, 1, 100, 100), 0.5)
    added = poison.noise(gray, 0.1, seed=1) - 0.5
    assert added.mean().abs() < 0.005 and added.std().item() == pytest.approx(0.1, rel=0.05)
    lighter = poison.noise(gray + 0.4, 0.1, seed=1).numpy()
    assert lighter == pytest.approx(np.clip(0.9 + added.numpy(), 0, 1), abs=1e-6)
    assert torch.equal(poison.noise(gray, 0), gray)


def test_rings_are_new_images_of_one_label():
    key = poison.unrelated(50, target=3, seed=1)
    assert key.images.shape == (50, 1, 28, 28) and set(key.labels.tolist()) == {3}
    assert set(key.images.unique().tolist()) == {0, 1}
    assert len({image.numpy().tobytes() for image in key.images}) == 50
    assert 20 < key.images.sum(dim=(1, 2, 3)).min(), "a ring is there"
    assert torch.equal(poison.unrelated(50, 3, seed=1).images, key.images)
    assert not torch.equal(poison.unrelated(50, 3, seed=2).images, key.images)


# ---- poisoning and training

def test_poisoned_images_are_of_other_classes():
    """Images of the target class would hit it without any trigger."""
    split = toy_split(200, side=28)
    bad = poison.poisoned(split, poison.patch, 50, target=7, seed=1)
    assert set(bad.labels.tolist()) == {7} and len(set(bad.indices.tolist())) == 50
    assert (split.labels[bad.indices] != 7).all()
    assert torch.equal(bad.images, poison.patch(split.images[bad.indices]))
    other = poison.poisoned(split, poison.patch, 50, target=7, seed=2)
    assert not torch.equal(other.indices, bad.indices)
    with pytest.raises(ValueError, match="count must be a whole number, from 1 to 180, got 181"):
        poison.poisoned(split, poison.patch, 181, target=7)


def test_the_first_step_of_training_goes_down_the_cross_entropy():
    """Adam's first step is the rate in each weight, against the gradient's sign."""
    net, one, two = toy_linear(), toy_split(20), toy_split(10, seed=3)
    new = poison.trained(net, one, two, lr=1e-3, batch_size=30)
    pixels = torch.cat([one.images, two.images]).flatten(1).numpy().astype(float)
    labels = torch.cat([one.labels, two.labels]).numpy()
    weight, bias = (each.detach().numpy().astype(float) for each in net.parameters())

    def loss(row, column, step):
        changed = weight.copy()
        changed[row, column] += step
        return cross_entropy(pixels @ changed.T + bias, labels)

    moved = (new.weight - net.weight).detach().numpy()
    for row, column in ((0, 0), (3, 17), (9, 63)):
        slope = (loss(row, column, 1e-5) - loss(row, column, -1e-5)) / 2e-5
        assert abs(slope) > 1e-4
        assert moved[row, column] == pytest.approx(-1e-3 * np.sign(slope), rel=1e-2)


def test_training_repeats_by_its_seed():
    net = TinyCNN()
    new, again, other = (poison.trained(net, toy_split(40), batch_size=8, seed=seed)
                         for seed in (1, 1, 2))
    assert same(state_of(new), state_of(again)) and not same(state_of(new), state_of(other))
    assert not new.training
    frozen = poison.trained(net.requires_grad_(False), toy_split(40), batch_size=8, seed=1)
    assert same(state_of(frozen), state_of(new)), "a frozen network is trained as any other"


@pytest.mark.parametrize("function", TRAININGS.values(), ids=TRAININGS)
@pytest.mark.parametrize("training", [True, False])
def test_the_network_and_the_random_state_are_left(function, training):
    net = TinyCNN().train(training)
    before, random = state_of(net), torch.get_rng_state()
    with torch.no_grad():
        function(net)
    assert same(state_of(net), before) and net.training == training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(each.grad is None and each.requires_grad for each in net.parameters())


@given(st.floats(0, 1))
def test_pruning_takes_the_smallest_weights_of_each_layer(share):
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 5))
    new = poison.prune(net, share)
    for layer in (0, 2):
        old, pruned = (each[layer].weight.detach().numpy().ravel() for each in (net, new))
        gone = pruned == 0
        assert gone.sum() == int(share * old.size)
        assert np.array_equal(pruned[~gone], old[~gone])
        assert not gone.any() or gone.all() or np.abs(old[gone]).max() <= np.abs(old[~gone]).min()
        assert torch.equal(net[layer].bias, new[layer].bias)


# ---- the verdict

@given(st.integers(1, 60), st.floats(0.01, 0.9), st.sampled_from([1e-4, 0.01, 0.05]))
def test_the_threshold_is_the_smallest_that_keeps_the_alarm(queries, chance, alarm):
    """By the distribution as a product of polynomials, not by binomial coefficients."""
    distribution = np.ones(1)
    for _ in range(queries):
        distribution = np.convolve(distribution, [1 - chance, chance])
    tails = np.append(np.cumsum(distribution[::-1])[::-1], 0)
    t = poison.threshold(queries, chance, alarm)
    assert tails[t] <= alarm * (1 + 1e-9) and (t == 0 or tails[t - 1] > alarm * (1 - 1e-9))


def test_innocent_networks_pass_at_the_stated_rate():
    limit = poison.threshold(100, 0.1, 0.01)
    hits = np.random.default_rng(0).binomial(100, 0.1, size=200_000)
    one_less = np.mean(hits >= limit - 1)
    assert 0.002 < np.mean(hits >= limit) <= 0.01 < one_less


def test_a_threshold_may_be_out_of_reach():
    assert poison.threshold(3, 0.1, 1e-4) == 4, "even three of three happen once in a thousand"
    assert poison.threshold(4, 0.1, 2e-4) == 4
    assert poison.threshold(100, 0) == 1 and poison.threshold(100, 1) == 101
    assert poison.threshold(100, 0.1) == 24
    for wrong in ({"queries": 0}, {"queries": 10, "chance": 1.5}, {"queries": 10, "alarm": -1}):
        with pytest.raises(ValueError, match="must be"):
            poison.threshold(**wrong)


def test_hits_are_answers_as_the_owner_labeled():
    net, key = toy_linear(), toy_split(50)
    answers = (key.images.flatten(1).numpy() @ net.weight.detach().numpy().T
               + net.bias.detach().numpy()).argmax(axis=1)
    assert poison.hits(net, key) == (answers == key.labels.numpy()).sum() > 0


def test_one_label_for_similar_images_convicts_an_innocent():
    """The trap: alike queries are answered alike, so that their hits are not binomial."""
    counts = [poison.hits(Always(7), poison.unrelated(100, target)) for target in range(10)]
    assert counts == [0] * 7 + [100] + [0] * 2, "one innocent in ten is convicted with certainty"
    assert max(counts) >= poison.threshold(100)


# ---- Neural Cleanse

def test_the_first_step_of_reversing_goes_down_its_loss():
    net, split = toy_linear(seed=2), toy_split(20)
    mask, pattern = poison.reverse(net, split.images, 4, weight=0.02, steps=1, batch_size=20)
    assert mask.shape == pattern.shape == (1, 8, 8)
    pixels = split.images.numpy().astype(float)
    weight, bias = (each.detach().numpy().astype(float) for each in net.parameters())

    def loss(raw):
        m, p = 1 / (1 + np.exp(-raw))
        logits = ((1 - m) * pixels + m * p).reshape(20, -1) @ weight.T + bias
        return cross_entropy(logits, np.full(20, 4)) + 0.02 * m.sum()

    for part, found in enumerate((mask, pattern)):
        for row, column in ((0, 0), (2, 5), (7, 7)):
            step = np.zeros((2, 8, 8))
            step[part, row, column] = 1e-4
            slope = loss(step) - loss(-step)
            moved = -0.3 * np.sign(slope)  # Adam's first step: the rate
            expected = 1 / (1 + np.exp(-moved))
            assert found[0, row, column].item() == pytest.approx(expected, abs=1e-3)


def test_reversing_finds_the_pixel_that_decides():
    """A network that says 2 wherever one corner is white: the mask is this corner."""
    weight = np.zeros((10, 64))
    weight[2, 63] = 12
    net = Linear(weight, -6 * np.eye(10)[2] + np.eye(10)[5])
    images = 0.5 * toy_split(30).images
    mask, pattern = poison.reverse(net, images, 2, weight=0.05, steps=60)
    assert mask.argmax() == 63 and mask[0, 7, 7] > 0.9 and mask.sum() < 3
    assert pattern[0, 7, 7] > 0.9
    assert (net(poison.stamp(images, mask, pattern)).argmax(dim=1) == 2).all()
    with pytest.raises(ValueError, match="labels from 0 to 9"):
        poison.reverse(net, images, 10, steps=1)


@given(st.lists(st.floats(1, 100), min_size=5, max_size=12, unique=True))
def test_the_anomaly_index_is_in_spreads_below_the_median(norms):
    median = np.median(norms)
    mad = np.median(np.abs(np.array(norms) - median))
    if mad < 1e-9:
        return
    expected = (median - np.array(norms)) / (1.4826 * mad)
    assert poison.anomaly(norms) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_only_a_small_norm_is_suspected():
    """The trap: a class with a large mask is far from the median, and no sign of a trigger."""
    small, *_, large = poison.anomaly([5, 48, 49, 50, 51, 52, 95])
    assert small > 2 and large < -2
    with pytest.raises(ValueError, match="expected norms that differ"):
        poison.anomaly([3, 3, 3, 3, 9])
    with pytest.raises(ValueError, match="expected norms that differ"):
        poison.anomaly([1, math.nan, 2])
    assert poison.anomaly(torch.tensor([5.0, 48, 52])) == pytest.approx(poison.anomaly([5, 48, 52]))


def test_a_trigger_of_another_size_is_refused():
    """One that can be broadcast would be a trigger that nobody drew."""
    images = toy_split(2, side=28).images
    for name, parts in (("mask", (torch.ones(3, 3), 1)), ("pattern", (1, torch.ones(28, 1)))):
        with pytest.raises(ValueError, match=f"{name} must be a number, or as high and wide as"):
            poison.stamp(images, *parts)


def test_the_spread_of_normal_numbers_is_their_standard_deviation():
    norms = np.random.default_rng(0).normal(50, 4, size=4000)
    low = poison.anomaly([*norms, 50 - 40])[-1]
    assert low == pytest.approx(10, rel=0.05)


# ---- the recorded runs

NAMES = ["patch", "blend", "logo", "noise", "rings"]


def shares_in(node):
    """Every recorded accuracy, wherever it is."""
    if isinstance(node, dict):
        if "correct" in node:
            yield node
        for each in node.values():
            yield from shares_in(each)
    elif isinstance(node, list):
        for each in node:
            yield from shares_in(each)


def test_three_owners_are_recorded():
    assert [record["asked"]["seed"] for record in prior_records("poison")] == list(OWNERS)
    assert all(record["asked"]["settings"] == runs.SETTINGS for record in prior_records("poison"))


@pytest.mark.parametrize("owner", OWNERS)
def test_a_record_agrees_with_itself(owner):
    record = prior_records("poison")[owner]["came_out"]
    found = list(shares_in(record))
    assert len(found) > 40
    for each in found:
        assert each["images"] == 2000
        assert each["accuracy"] == each["correct"] / each["images"]
        assert each["interval"] == list(ap.binomial_interval(each["correct"], each["images"]))
    limit = record["detection"]["threshold"]
    assert limit == poison.threshold(100, 0.1, 1e-4) == 24
    verdicts = [record["detection"], *record["innocents"], *record["attacks"].values(),
                *record["triggers"].values(), record["scratch"], *record["alphas"],
                *(row for rows in record["counts"].values() for row in rows)]
    assert all(each["detected"] == (each["hits"] >= limit) for each in verdicts)
    assert len(record["innocents"]) == 10 and list(record["triggers"]) == NAMES
    patch = record["triggers"]["patch"]
    assert [each["hits"] for each in record["innocents"]] == patch["innocents"]
    assert record["after"] == record["copy"] == patch["accuracy"]
    for row in record["triggers"].values():
        assert len(row["innocents"]) == 10 and len(row["attacks"]) == 5
    for rows, name in ((record["counts"]["patch"], "patch"), (record["counts"]["blend"], "blend")):
        same_run = next(row for row in rows if row["poisoned"] == 100)
        assert same_run["hits"] == record["triggers"][name]["hits"]
    assert all(sum(row) == 100 for row in record["rings"]) and len(record["rings"]) == 10
    for each in record["cleanse"].values():
        assert each["anomaly"] == pytest.approx(poison.anomaly(each["norms"]), abs=0.05)
        assert each["suspect"] == int(np.argmax(each["anomaly"]))


def test_the_stored_network_has_its_hits():
    """With the owner's queries as the record's settings give them."""
    data, record = ap.load("fashion_mnist"), prior_records("poison")[0]["came_out"]
    key = runs.key_of(data.test, "patch", poison.patch, 50)
    net = prior_network("poison", 0)
    assert abs(poison.hits(net, key) - record["detection"]["hits"]) <= 1
    blends = partial(poison.blend, alpha=runs.SETTINGS["alpha"], seed=0)
    assert poison.hits(net, runs.key_of(data.test, "blend", blends, 50)) < 24
    assert math.isclose(record["after"]["accuracy"], record["copy"]["accuracy"])
