"""A mark in the activations (DeepSigns): its formulas, what it leaves alone, and its records."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from toys import TinyCNN, same, state_of, toy_set, toy_split

import apdnn_lite as ap
from apdnn_lite.experiments import prior
from apdnn_lite.experiments.prior import activations as runs
from apdnn_lite.prior import activations as deepsigns

SPLIT = toy_split(60)


def marked(bits=5, per_class=3, net=None, split=SPLIT, **options):
    torch.manual_seed(0)
    net = TinyCNN().eval() if net is None else net
    return net, deepsigns.draw_mark(net, split, bits, per_class, **options)


def class_means(features, labels, classes):
    """By NumPy, one class at a time; zeros for a class that is missing."""
    found = np.zeros((classes, features.shape[1]))
    for each in set(labels.tolist()):
        found[each] = np.mean(np.asarray(features, np.float64)[labels == each], axis=0)
    return found


def shown_by(net, mark):
    """A mark whose message is what the network shows anyway: what a forger would draw."""
    mu = deepsigns.class_means(net, mark, mark.layer)
    return dataclasses.replace(mark, message=deepsigns.project(mu, mark) > 0)


# ---- the statistic

def test_the_means_are_those_of_each_class():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(20, 6)), rng.choice([0, 1, 3], size=20)
    found, here = deepsigns.means(torch.tensor(features), torch.tensor(labels), 4)
    assert found.numpy() == pytest.approx(class_means(features, labels, 4))
    assert here.tolist() == [True, True, False, True]


@pytest.mark.parametrize("net, layer, size", [
    (ap.prior.TinyCNN, "fc", 576), (ap.SimpleCNN, "fc2", 1024), (ap.ResNet20, "fc", 64),
    (ap.prior.TinyCNN, "conv3", 32 * 49),
])
def test_the_features_of_any_network_are_what_the_layer_reads(net, layer, size):
    torch.manual_seed(0)
    net, split, heard = net().train(), toy_split(20, side=28), []
    found = deepsigns.class_means(net, split, layer)
    net.eval().get_submodule(layer).register_forward_hook(lambda _, x, __: heard.append(x[0]))
    net(split.images)
    expected = class_means(heard[0].flatten(1).detach().numpy(), split.labels.numpy(), 10)
    assert found.shape == (10, size) and found.numpy() == pytest.approx(expected, abs=1e-4)


def test_the_features_of_the_small_network_are_its_features():
    net, split = ap.prior.TinyCNN().eval(), toy_split(30, side=28)
    expected = class_means(net.features(split.images).detach().numpy(), split.labels.numpy(), 10)
    assert deepsigns.class_means(net, split).numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("centered", [True, False])
def test_bits_are_signs_of_projected_means(centered):
    net, mark = marked(centered=centered)
    mu = deepsigns.class_means(net, mark).numpy().astype(np.float64)
    if centered:
        mu = mu - np.mean(mu, axis=0, keepdims=True)
    numbers = np.einsum("km,mt->kt", mu, mark.projection.numpy())
    found = deepsigns.project(deepsigns.class_means(net, mark), mark)
    assert found.numpy() == pytest.approx(numbers, abs=1e-5)
    assert deepsigns.bit_errors(net, mark) == np.sum((numbers > 0) != mark.message.numpy())


def test_all_bits_can_be_right_and_all_can_be_wrong():
    net, mark = marked()
    right = shown_by(net, mark)
    wrong = dataclasses.replace(right, message=~right.message)
    assert deepsigns.bit_errors(net, right) == 0
    assert deepsigns.bit_errors(net, wrong) == right.message.numel() == 50


def test_more_than_one_batch_is_read():
    net, split = TinyCNN().eval(), toy_split(450)
    one = deepsigns.class_means(net, split)
    features = net.bn(net.conv(split.images)).relu().mean(dim=(2, 3)).detach().numpy()
    assert one.numpy() == pytest.approx(class_means(features, split.labels.numpy(), 10), abs=1e-5)


# ---- the judge

@pytest.mark.parametrize("places, p, chance", [
    (160, 1e-4, 0.5), (20, 1e-4, 0.9), (1, 0.4, 0.5), (40, 0.01, 0.5), (7, 0.2, 0.75),
])
def test_the_threshold_is_the_last_number_of_errors_that_is_rare_enough(places, p, chance):
    wrong = Fraction(chance).limit_denominator(100)
    mass = [math.comb(places, k) * wrong**k * (1 - wrong)**(places - k) for k in range(places + 1)]
    assert sum(mass) == 1
    rare = [k for k in range(places + 1) if sum(mass[:k + 1]) <= Fraction(p)]
    assert deepsigns.most_errors(places, p, chance) == max(rare, default=-1)


def test_thresholds_that_the_chapter_prints():
    assert deepsigns.most_errors(160, 1e-4) == 56
    assert deepsigns.most_errors(20, 1e-4, 0.9) == 11
    assert deepsigns.most_errors(10, 1e-4) == -1  # ten bits can convict nobody


def test_a_random_message_convicts_the_innocent_at_the_stated_rate():
    most, rng = deepsigns.most_errors(160, 0.05), np.random.default_rng(0)
    errors = np.sum(rng.integers(2, size=(20_000, 160)), axis=1)
    rate = np.mean(errors <= most)
    assert 0.025 < rate < 0.055, "the next larger threshold would be above 0.05"
    assert np.mean(errors <= most + 1) > 0.05


def test_matches_counted_as_mismatches_convict_everybody():
    """The trap of a public re-implementation: a key of 20 labels, guessed at 1 in 10."""
    most, rng = deepsigns.most_errors(20, 1e-4, 0.9), np.random.default_rng(0)
    matches = rng.binomial(20, 0.1, size=10_000)
    assert np.mean(20 - matches <= most) < 2e-4 and np.mean(matches <= most) > 0.99


@pytest.mark.parametrize("centered", [False, True])
def test_one_word_for_all_classes_convicts_the_innocent_unless_features_are_centered(centered):
    """Features after ReLU share a direction, so the bits of the classes agree."""
    rng, most, tries = np.random.default_rng(1), deepsigns.most_errors(160, 0.01), 600
    mu = torch.tensor(rng.exponential(size=(10, 64)) + 1.0, dtype=torch.float32)
    mark = marked(net=ap.ResNet20(), split=toy_split(20, side=28), per_class=1,
                  centered=centered)[1]
    errors = {"random": [], "one word": []}
    for _ in range(tries):
        projection = torch.tensor(rng.normal(size=(64, 16)), dtype=torch.float32)
        bits = (deepsigns.project(mu, dataclasses.replace(mark, projection=projection)) > 0).numpy()
        errors["random"].append(np.sum(bits != rng.integers(2, size=(10, 16))))
        errors["one word"].append(np.sum(bits != rng.integers(2, size=(1, 16))))
    rates = {name: np.mean(np.array(each) <= most) for name, each in errors.items()}
    assert rates["random"] < 0.02
    assert rates["one word"] < 0.005 if centered else rates["one word"] > 0.05


def test_bits_of_two_classes_agree_as_their_angle_says():
    rng = np.random.default_rng(0)
    one, other = np.array([1.0, 0, 0]), np.array([1.0, 2.0, 0.5])
    cosine = one @ other / np.linalg.norm(other)
    keys = rng.normal(size=(3, 200_000))
    agree = np.mean((one @ keys > 0) == (other @ keys > 0))
    assert agree == pytest.approx(1 - np.arccos(cosine) / np.pi, abs=0.005)


# ---- the owner

def test_a_mark_has_images_of_the_split_in_each_class():
    _, mark = marked(bits=7, per_class=4)
    assert mark.projection.shape == (4, 7) and mark.message.shape == (10, 7)
    assert mark.labels.bincount().tolist() == 10 * [4] and mark.layer == "fc" and mark.centered
    pixels = {each.numpy().tobytes(): int(label) for each, label in SPLIT}
    assert [pixels[each.numpy().tobytes()] for each in mark.images] == mark.labels.tolist()
    assert len({each.numpy().tobytes() for each in mark.images}) == 40, "an image is there twice"


def test_a_mark_follows_its_seed():
    net, one = marked()
    again, other = (deepsigns.draw_mark(net, SPLIT, 5, 3, seed=seed) for seed in (0, 1))
    for name in ("projection", "message", "images"):
        assert torch.equal(getattr(one, name), getattr(again, name))
        assert not torch.equal(getattr(one, name), getattr(other, name))


def test_the_projection_is_standard_normal_and_the_message_fair():
    net = ap.prior.TinyCNN()
    mark = marked(bits=200, per_class=1, net=net, split=toy_split(20, side=28))[1]
    assert abs(mark.projection.mean()) < 0.01 and abs(mark.projection.std() - 1) < 0.01
    assert 0.46 < mark.message.float().mean() < 0.54


@pytest.mark.parametrize("centered", [True, False])
def test_the_loss_is_the_cross_entropy_of_the_bits_of_a_batch(centered):
    rng, labels = np.random.default_rng(0), np.array([0, 0, 1, 3, 3, 3])
    features, key = rng.normal(size=(6, 5)), rng.normal(size=(5, 3))
    message = rng.integers(2, size=(4, 3)).astype(bool)
    mark = deepsigns.Mark(torch.tensor(key), torch.tensor(message), None, None, "fc", centered)
    mu = class_means(features, labels, 4)[[0, 1, 3]]  # class 2 is not in the batch
    if centered:
        mu = mu - np.mean(mu, axis=0)
    q = 1 / (1 + np.exp(-mu @ key))
    expected = -np.mean(np.where(message[[0, 1, 3]], np.log(q), np.log(1 - q)))
    found = deepsigns.bit_loss(torch.tensor(features), torch.tensor(labels), mark)
    assert found.item() == pytest.approx(expected)


def test_one_step_follows_the_gradient_of_both_losses():
    net, mark = marked()
    found = deepsigns.embed(net, SPLIT, mark, weight=2.0, epochs=1, batch_size=60, lr=1e4)
    net.train()
    features = net.bn(net.conv(SPLIT.images)).relu().mean(dim=(2, 3))
    loss = torch.nn.functional.cross_entropy(net.fc(features), SPLIT.labels)
    loss = loss + 2.0 * deepsigns.bit_loss(features, SPLIT.labels, mark)
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    moved = [new - old for new, old in zip(found.parameters(), net.parameters(), strict=True)]
    clear = [gradient.abs() > 1e-4 for gradient in gradients]  # not the bias before the norm
    assert sum(each.sum() for each in clear) > 60
    for step, gradient, here in zip(moved, gradients, clear, strict=True):
        # the sign of the gradient is the first step of Adam; one cycle starts far below lr
        assert torch.equal(step[here].sign(), -gradient[here].sign())


def test_training_writes_the_bits():
    net, mark = marked(bits=2, per_class=6)
    found = deepsigns.embed(net, SPLIT, mark, weight=10.0, epochs=150, lr=0.02, batch_size=60)
    before, after = (deepsigns.bit_errors(each, mark) for each in (net, found))
    assert after <= before - 6, (before, after)


def test_embedding_follows_its_seed_and_without_weight_no_mark_matters():
    net, mark = marked()
    other = deepsigns.draw_mark(net, SPLIT, 5, 3, seed=1)
    one, again, another = (state_of(deepsigns.embed(net, SPLIT, mark, epochs=1, seed=seed,
                                                    batch_size=20)) for seed in (0, 0, 1))
    assert same(one, again) and not same(one, another)
    states = [state_of(deepsigns.embed(net, SPLIT, each, weight=weight, epochs=1, batch_size=20))
              for weight in (0.0, 1.0) for each in (mark, other)]
    assert same(states[0], states[1]) and not same(states[2], states[3])


# ---- the thief

def test_permuted_channels_give_the_same_answers_and_other_bits():
    torch.manual_seed(0)
    net, split = ap.prior.TinyCNN().eval(), toy_split(40, side=28)
    mark = shown_by(net, deepsigns.draw_mark(net, split, 16, 2))
    copy = deepsigns.permute(net, seed=3)
    with torch.no_grad():
        torch.testing.assert_close(copy(split.images), net(split.images), rtol=0, atol=1e-5)
    assert deepsigns.bit_errors(net, mark) == 0 and deepsigns.bit_errors(copy, mark) > 30
    assert torch.equal(copy.conv3.bias.sort().values, net.conv3.bias.sort().values)
    assert same(state_of(deepsigns.permute(net, seed=3)), state_of(copy))
    assert not same(state_of(deepsigns.permute(net, seed=4)), state_of(copy))


def test_layers_without_a_flattening_between_them_can_be_permuted():
    torch.manual_seed(0)
    net, images = ap.SimpleCNN().eval(), toy_split(4, side=28).images
    copy = deepsigns.permute(net, "fc1", "fc2")
    torch.testing.assert_close(copy(images), net(images), rtol=0, atol=1e-5)
    inner = deepsigns.permute(ap.prior.TinyCNN(), "conv1", "conv2").conv2
    assert inner.weight.shape == (32, 16, 3, 3)


# ---- what is left alone

@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("ask", [
    lambda net, mark: deepsigns.draw_mark(net, SPLIT, 5, 3),
    lambda net, mark: deepsigns.class_means(net, mark),
    deepsigns.bit_errors,
    lambda net, mark: deepsigns.embed(net, SPLIT, mark, epochs=1, batch_size=20),
    lambda net, mark: deepsigns.permute(net, "conv", "fc"),
], ids=["draw_mark", "class_means", "bit_errors", "embed", "permute"])
def test_the_network_and_the_random_state_stay_as_they_were(ask, training):
    net, mark = marked()
    net.train(training)
    before, random, pixels = state_of(net), torch.get_rng_state(), mark.images.clone()
    with torch.no_grad():
        ask(net, mark)
    assert same(state_of(net), before) and torch.equal(torch.get_rng_state(), random)
    assert net.training == net.bn.training == training and torch.equal(mark.images, pixels)
    assert all(each.grad is None and each.requires_grad for each in net.parameters())
    assert not any(each._forward_pre_hooks for each in net.modules()), "a hook was left behind"


def test_a_hook_goes_even_if_the_network_fails():
    net = TinyCNN()
    with pytest.raises(ValueError), deepsigns.reading(net, "fc"):
        raise ValueError
    assert not net.fc._forward_pre_hooks


def test_embedding_returns_a_network_that_is_ready_for_use():
    net, mark = marked()
    net.train()
    found = deepsigns.embed(net, SPLIT, mark, epochs=1, batch_size=20)
    assert not found.training and not any(each._forward_pre_hooks for each in found.modules())
    assert found is not net


NET, MARK = marked()


@pytest.mark.parametrize("ask, message", [
    (lambda: deepsigns.draw_mark(NET, SPLIT, 0, 1), "bits must be a whole number, 1 or more"),
    (lambda: deepsigns.draw_mark(NET, SPLIT, per_class=7), "per_class: at most 6, the size of"),
    (lambda: deepsigns.draw_mark(NET, SPLIT, per_class=0), "per_class must be a whole number"),
    (lambda: deepsigns.draw_mark(NET, SPLIT, per_class=1, layer="fc3"),
     "unknown layer 'fc3': expected one of .*conv, bn, fc"),
    (lambda: deepsigns.draw_mark(NET, SPLIT, per_class=1, seed=-1), "seed must be a whole number"),
    (lambda: deepsigns.class_means(NET, ap.Split(SPLIT.images, SPLIT.labels[:3], None)),
     "labels must be a tensor with one label for each of 60 images"),
    (lambda: deepsigns.bit_errors(ap.ResNet20(), marked(
        net=ap.prior.TinyCNN(), split=toy_split(20, side=28), per_class=1)[1]),
     "the mark is for 576 features, got 64: expected a network of the same layout"),
    (lambda: deepsigns.embed(NET, SPLIT, MARK, weight=-1), "weight must be a finite number"),
    (lambda: deepsigns.embed(NET, SPLIT, MARK, lr=0), "lr must be a finite number above 0"),
    (lambda: deepsigns.embed(NET, SPLIT, MARK, epochs=0), "must be a whole number, 1 or more"),
    (lambda: deepsigns.embed(NET, SPLIT, MARK, seed=-1), "seed must be a whole number, 0 or more"),
    (lambda: deepsigns.embed(NET, SPLIT[:0], MARK), "split is empty: expected at least one"),
    (lambda: deepsigns.permute(ap.prior.TinyCNN(), "conv2", "conv2"), "expected neighbors, got"),
    (lambda: deepsigns.most_errors(0, 0.1), "places must be a whole number, 1 or more"),
    (lambda: deepsigns.most_errors(10, 1.5), "p must be a finite number at least 0 and at most 1"),
    (lambda: deepsigns.most_errors(10, 0.1, -1), "chance must be a finite number at least 0"),
])
def test_wrong_input_is_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()


# ---- the workshop

def test_pruning_takes_the_smallest_weights_of_each_layer():
    torch.manual_seed(0)
    net = ap.prior.TinyCNN()
    found = runs.pruned(net, 0.7)
    for name in ("conv1", "conv2", "conv3", "fc"):
        old, new = (each.get_submodule(name).weight.detach() for each in (net, found))
        gone = new == 0
        assert gone.float().mean().item() == pytest.approx(0.7, abs=0.01)
        assert old[gone].abs().max() <= old[~gone].abs().min()
        assert torch.equal(old[~gone], new[~gone])


def test_the_published_loss_runs_and_leaves_the_owner_alone():
    torch.manual_seed(0)
    owner, data = ap.prior.TinyCNN().eval(), toy_set()
    before = state_of(owner)
    mark = deepsigns.draw_mark(owner, data.train, 4, 2)
    found = runs.published(owner, data, mark, 0.01, 0)
    assert 0 <= found["center_errors"] <= 40 and found["bits"] == 40
    assert same(state_of(owner), before) and not owner.training


def test_noise_images_have_random_labels():
    key = runs.noise((1, 28, 28), 10, 500, 0)
    assert key.images.shape == (500, 1, 28, 28) and 0 <= key.images.min() < key.images.max() <= 1
    assert min(key.labels.bincount(minlength=10)) > 25
    assert torch.equal(runs.noise((1, 28, 28), 10, 500, 0).images, key.images)


# ---- what is shipped

@pytest.fixture(scope="module")
def records():
    return [record["came_out"] for record in prior.prior_records("activations")]


def judged(found):
    """Every verdict of one record on the mark's bits."""
    return [found["detection"], found["owner_unmarked"], found["other_layer"],
            *found["innocents"], *found["attacks"].values(), *found["published"], *found["sweep"]]


def test_three_owners_and_ten_innocents(records):
    assert [r["asked"]["seed"] for r in prior.prior_records("activations")] == [0, 1, 2]
    assert all(len(found["innocents"]) == len(found["black_box"]["innocents"]) == 10
               for found in records)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_record_agrees_with_itself(records, seed):
    found = records[seed]
    for share in (found["before"], found["after"], found["copy"], found["black_box"]["after"]):
        assert share["accuracy"] == share["correct"] / share["images"] and share["images"] == 2000
    assert found["copy"] == found["after"]
    for each in judged(found):
        assert each["ber"] == each["errors"] / each["bits"]
        assert each["most"] == deepsigns.most_errors(each["bits"], 1e-4)
        assert each["detected"] == (each["errors"] <= each["most"])
    for each in found["sweep"]:
        assert each["bits"] == 10 * each["bits_per_class"]
        if "wrong" in each:
            assert sum(row.count("1") for row in each["wrong"]) == each["errors"]
            assert {len(row) for row in each["wrong"]} == {each["bits_per_class"]}
    assert [(each["bits_per_class"], each["weight"]) for each in found["sweep"]] == runs.grid()
    black = found["black_box"]
    assert black["most"] == deepsigns.most_errors(black["key"], 1e-4, 0.9) == 11
    assert black["usable"] <= black["learned"] <= black["drawn"]
    for each in (black["detection"], *black["innocents"], *black["attacks"].values()):
        assert each["detected"] == (each["mismatches"] <= black["most"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_null_is_as_the_angle_says(records, seed):
    found = records[seed]
    for name in ("raw", "centered"):
        each = found["null"][name]
        assert each["agreement"] == pytest.approx(each["predicted"], abs=0.02)
        assert each["random"]["convicted"] <= 0.02 * found["null"]["tries"]
        assert each["random"]["deviation"] == pytest.approx(math.sqrt(160) / 2, abs=0.5)
    assert found["null"]["most"] == deepsigns.most_errors(160, 0.01)


def test_the_stored_network_shows_the_recorded_bits(records):
    train, owner = ap.load("fashion_mnist").train, prior.prior_network("plain", 0)
    mark = deepsigns.draw_mark(owner, train, seed=0)
    assert abs(deepsigns.bit_errors(prior.prior_network("activations", 0), mark)
               - records[0]["detection"]["errors"]) <= 1
