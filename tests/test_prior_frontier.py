"""A fingerprint at the frontier: keys, marks and verdicts, recomputed without PyTorch."""

import contextlib
from fractions import Fraction
from math import comb

import numpy as np
import pytest
import torch
from toys import Linear, TinyCNN, Watched, same, softmax, state_of, toy_linear, toy_split

import apdnn_lite as ap
from apdnn_lite.experiments.prior import frontier as runs
from apdnn_lite.experiments.prior import prior_network, prior_records
from apdnn_lite.prior import frontier

EPSILON = 0.02


@pytest.fixture(scope="module")
def split():
    """Images that the toy network gets right, and some that it does not."""
    images = toy_split(400).images
    labels = frontier.labels_of(toy_linear(), images)
    labels[::7] = (labels[::7] + 1) % 10
    return ap.Split(images, labels, torch.arange(400))


def answers(net, images):
    """The labels that a linear network gives, by NumPy."""
    pixels = images.flatten(1).numpy().astype(float)
    return (pixels @ net.weight.detach().numpy().T + net.bias.detach().numpy()).argmax(axis=1)


def fgsm(net, images, labels, epsilon):
    """FGSM of a linear network: the gradient of a pixel is Wᵀ(softmax − one-hot)."""
    weight, bias = net.weight.detach().numpy(), net.bias.detach().numpy()
    error = softmax(images.flatten(1).numpy() @ weight.T + bias) - np.eye(10)[labels.numpy()]
    step = epsilon * np.sign(error @ weight).reshape(images.shape)
    return torch.tensor(np.clip(images.numpy() + step, 0, 1), dtype=torch.float32)


# ---- the threshold

def exact(size, alpha, chance):
    """The greatest θ with P(X ≤ θ) < α in fractions, which round nothing; −1 for none."""
    p, total, theta = Fraction(chance), Fraction(0), -1
    for z in range(size + 1):
        total += comb(size, z) * p ** z * (1 - p) ** (size - z)
        if total >= Fraction(alpha):
            break
        theta = z
    return theta


@pytest.mark.parametrize("size, theta", [(5, 0), (10, 1), (20, 5), (50, 18), (100, 41), (200, 87)])
def test_the_threshold_of_the_paper(size, theta):
    assert frontier.threshold(size) == theta == exact(size, 0.05, 0.5)
    assert sum(comb(size, z) for z in range(theta + 1)) / 2 ** size < 0.05
    assert sum(comb(size, z) for z in range(theta + 2)) / 2 ** size >= 0.05


@pytest.mark.parametrize("chance", [0.1, 0.25, 0.5, 0.86])
@pytest.mark.parametrize("alpha", [1e-3, 0.05, 0.3])
@pytest.mark.parametrize("size", [7, 60, 111])
def test_the_threshold_for_any_chance(size, alpha, chance):
    expected = exact(size, alpha, chance)
    if expected >= 0:
        assert frontier.threshold(size, alpha, chance) == expected
    else:
        with pytest.raises(ValueError, match="take more keys"):
            frontier.threshold(size, alpha, chance)


def test_a_threshold_of_thousands_of_keys():
    assert frontier.threshold(5000) == pytest.approx(2500 - 1.645 * np.sqrt(1250), abs=2)


def test_coins_are_convicted_as_rarely_as_stated():
    """Suspects who get each key wrong with probability 1/2, as the paper's null has it."""
    rng, key = np.random.default_rng(0), key_of(60)
    wrong = rng.binomial(60, 0.5, 20_000)
    theta = frontier.threshold(60)
    assert (wrong <= theta).mean() < 0.05 < (wrong <= theta + 1).mean()
    found = [frontier.verify(lambda x: torch.tensor(rng.integers(0, 2, len(x))), key).convicted
             for _ in range(2000)]
    assert np.mean(found) < 0.05 and np.mean(found) > 0.005


def test_who_is_wrong_less_often_than_a_coin_is_convicted_though_innocent():
    """The trap: at 3 in 10 wrong, as innocent networks are, the paper's threshold convicts all."""
    wrong = np.random.default_rng(1).binomial(100, 0.3, 20_000)
    assert (wrong <= frontier.threshold(100)).mean() > 0.95
    assert (wrong <= frontier.threshold(100, chance=0.3)).mean() < 0.05


@pytest.mark.parametrize("wrong, message", [
    ({"size": 4}, "take more keys"), ({"size": 0}, "size"), ({"size": 20.0}, "size"),
    ({"size": 20, "alpha": 2}, "alpha"), ({"size": 20, "chance": 0}, "chance"),
])
def test_thresholds_that_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        frontier.threshold(**wrong)


# ---- the key

def key_of(size, labels=0):
    images = toy_split(size).images
    return frontier.Key(images, torch.full((size,), labels), torch.arange(size) % 2 == 0)


def test_half_of_a_key_changes_the_owners_answer_and_half_does_not(split):
    net = toy_linear()
    key = frontier.key_set(net, split.images, split.labels, 40, EPSILON, seed=3)
    assert len(key) == 40 and key.true.tolist() == 20 * [True, False]
    assert np.array_equal(answers(net, key.images) != key.labels.numpy(), key.true.numpy())
    expected = fgsm(net, split.images, split.labels, EPSILON)
    for image, label in zip(key.images, key.labels, strict=True):
        distance = (expected - image).abs().amax(dim=(1, 2, 3))
        found = int(distance.argmin())
        assert distance[found] < 1e-6 and split.labels[found] == label
        assert answers(net, split.images[found:found + 1])[0] == label, "it was wrong before"


def test_a_repaired_key_fools_the_independent_network_too(split):
    net, other = toy_linear(), toy_linear(seed=1)
    other.weight.data = net.weight.data + 0.3 * other.weight.data
    key = frontier.key_set(net, split.images, split.labels, 21, EPSILON, other, seed=3)
    assert key.true.all() and len(key) == 21
    for each in (net, other):
        assert (answers(each, key.images) != key.labels.numpy()).all()


def test_a_key_depends_on_its_seed_and_starts_of_it_are_keys(split):
    one, again, other = (
        frontier.key_set(toy_linear(), split.images, split.labels, 40, EPSILON, seed=seed)
        for seed in (1, 1, 2))
    assert torch.equal(one.images, again.images) and torch.equal(one.labels, again.labels)
    assert not torch.equal(one.images, other.images)
    short = one[:10]
    assert len(short) == 10 and torch.equal(short.images, one.images[:10])
    assert short.true.sum() == 5


@pytest.mark.parametrize("size, epsilon, message", [
    (7, EPSILON, "must be even"), (0, EPSILON, "size must be"), (400, EPSILON, "give more"),
    (10, 0.0, "got 0 in 400 images"), (10, -1, "epsilon"),
])
def test_keys_that_are_refused(split, size, epsilon, message):
    with pytest.raises(ValueError, match=message):
        frontier.key_set(toy_linear(), split.images, split.labels, size, epsilon)


# ---- the judge

def test_a_judge_counts_wrong_labels_and_asks_once_for_each_key():
    key, asked = key_of(20, labels=3), []

    def remote(images):
        asked.append(len(images))
        images.zero_()  # theirs to change
        return torch.tensor([3] * 14 + [1] * 6)

    before = key.images.clone()
    verdict = frontier.verify(remote, key)
    assert verdict == frontier.Verdict(6, 20, 5) and not verdict.convicted
    assert sum(asked) == 20 and torch.equal(key.images, before)
    assert frontier.verify(lambda x: torch.tensor([3] * 15 + [1] * 5), key).convicted


def test_a_network_is_judged_by_its_answers(split):
    net, key = toy_linear(), key_of(64)
    expected = int((answers(net, key.images) != 0).sum())
    assert frontier.verify(net, key).mismatches == expected
    remote = frontier.verify(lambda x: torch.tensor(answers(net, x)), key)
    assert remote.mismatches == expected


def test_no_answer_is_a_mismatch():
    net = toy_linear()
    net.bias.data[0] = torch.nan
    assert frontier.verify(net, key_of(20)).mismatches == 20


@pytest.mark.parametrize("suspect, message", [
    (lambda x: torch.zeros(len(x), 10), "one label for each"),
    (lambda x: torch.zeros(len(x)), "int64"),
    (lambda x: x[:3, 0, 0, 0].long(), "one label for each"),
    (torch.zeros(10), "a network or a function"),
])
def test_suspects_that_give_no_labels_are_refused(suspect, message):
    with pytest.raises(ValueError, match=message):
        frontier.verify(suspect, key_of(20))


# ---- the mark

def marked(net, key, split, **more):
    return frontier.mark(net, key, split, **{"batch_size": 32, "keys": 8, "seed": 0} | more)


def test_marking_makes_every_key_right(split):
    net = toy_linear()
    key = frontier.key_set(net, split.images, split.labels, 20, EPSILON)
    assert frontier.verify(net, key).mismatches == 10
    copy = marked(net, key, split, lr=0.05)
    assert (answers(copy, key.images) == key.labels.numpy()).all() and not copy.training


def test_the_last_pass_is_the_first_without_a_mismatch(split):
    net = toy_linear()
    key = frontier.key_set(net, split.images, split.labels, 8, EPSILON)
    copy = marked(Watched(net), key, split, lr=0.01, keys=3)
    passes = len(copy.batches) // 3  # of 3, 3 and 2 keys
    assert len(copy.batches) == 3 * passes and 1 < passes < 100
    one_less = marked(net, key, split, lr=0.01, keys=3, passes=passes - 1)
    assert frontier.verify(one_less, key).mismatches > 0


def test_a_step_sees_training_images_and_keys(split):
    key = frontier.key_set(toy_linear(), split.images, split.labels, 20, EPSILON)
    copy = marked(Watched(toy_linear()), key, split, passes=1)
    assert [len(batch) for batch in copy.batches] == [40, 40, 36]
    keys = torch.cat([batch[32:] for batch in copy.batches])
    assert same_rows(keys, key.images), "each key is used once in a pass"
    train = {image.numpy().tobytes() for image in split.images}
    assert all(image.numpy().tobytes() in train for batch in copy.batches for image in batch[:32])


def same_rows(one, other):
    return (sorted(image.numpy().tobytes() for image in one)
            == sorted(image.numpy().tobytes() for image in other))


def test_the_first_step_lowers_the_cross_entropy_of_both(split):
    """Adam's first step is lr·sign(g), with g the gradient of the batch's mean cross-entropy."""
    net = toy_linear()
    key = frontier.key_set(net, split.images, split.labels, 6, EPSILON)
    copy = marked(Watched(net), key, split, passes=1, lr=1e-3)
    batch = copy.batches[0]
    known = {image.numpy().tobytes(): int(label) for part in (split, key)
             for image, label in zip(part.images, part.labels, strict=True)}
    labels = np.array([known[image.numpy().tobytes()] for image in batch])
    pixels = batch.flatten(1).numpy().astype(float)
    error = softmax(pixels @ net.weight.detach().numpy().T + net.bias.detach().numpy())
    gradient = (error - np.eye(10)[labels]).T @ pixels / len(labels)
    moved = (copy.net.weight - net.weight).detach().numpy()
    clear = np.abs(gradient) > 1e-5
    assert clear.mean() > 0.5
    assert np.allclose(moved[clear], -1e-3 * np.sign(gradient)[clear], atol=2e-5)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_changed_that_was_given(split, training):
    net, key = TinyCNN().train(training), key_of(8)
    before, random, pixels = state_of(net), torch.get_rng_state(), split.images.clone()
    with torch.no_grad():
        with contextlib.suppress(ValueError):  # an untrained network yields too few
            frontier.key_set(net, split.images, split.labels, 8, 0.1, net)
        one, again, other = (
            marked(net, key, split, passes=2, seed=seed) for seed in (0, 0, 1))
        frontier.verify(net, key)
    assert same(state_of(net), before) and net.training is training
    assert torch.equal(torch.get_rng_state(), random) and torch.equal(split.images, pixels)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert same(state_of(one), state_of(again)) and not same(state_of(one), state_of(other))
    assert not one.training


@pytest.mark.parametrize("make", [ap.prior.TinyCNN, ap.SimpleCNN, ap.ResNet20])
def test_the_networks_of_the_book_can_be_marked(make):
    net, few = make(), toy_split(16, side=28)
    key = frontier.Key(few.images[:6], few.labels[:6], torch.ones(6, dtype=torch.bool))
    copy = frontier.mark(net, key, few, passes=1, batch_size=8, keys=3)
    assert not same(state_of(copy), state_of(net))
    assert frontier.verify(copy, key).size == 6


@pytest.mark.parametrize("wrong", [{"passes": 0}, {"lr": 0}, {"batch_size": 0}, {"keys": 0},
                                   {"seed": -1}])
def test_marks_that_are_refused(split, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        marked(toy_linear(), key_of(8), split, **wrong)


# ---- the thieves of the records

def test_pruning_takes_the_smallest_weights_of_each_layer():
    layer = torch.nn.Linear(10, 10)
    net = torch.nn.Sequential(torch.nn.Flatten(), layer)
    found = runs.pruned(net, 0.3)[1].weight.detach().numpy()
    weight = layer.weight.detach().numpy()
    limit = np.sort(np.abs(weight).ravel())[29]
    assert np.array_equal(found, np.where(np.abs(weight) > limit, weight, 0))
    assert isinstance(toy_linear(), Linear) and (found == 0).sum() == 30


# ---- what is shipped

@pytest.fixture(scope="module")
def records():
    return [record["came_out"] for record in prior_records("frontier")]


def parts(record):
    return record, record["repaired"]


def test_three_owners_and_ten_innocents_are_recorded(records):
    assert len(records) == 3
    for record in records:
        for part in parts(record):
            assert len(part["innocents"]) == 10
            assert {"fine-tuning", "pruning 30%", "pruning 50%"} <= part["attacks"].keys()
        assert record["copy"] == record["after"]


def test_recorded_shares_are_those_of_their_counts(records):
    for record in records:
        found = [record["before"], record["copy"], record["robust_accuracy"]]
        found += [part["after"] for part in parts(record)]
        found += [run[name] for run in record["runs"] for name in ("marked", "tuned")]
        for each in found:
            assert each["accuracy"] == each["correct"] / each["images"]
            assert each["images"] == 2000


def test_recorded_verdicts_follow_from_their_mismatches(records):
    for record in records:
        for part in parts(record):
            verdicts = [part["detection"], part["robust"], *part["innocents"],
                        *part["attacks"].values()]
            for each in verdicts:
                assert each["threshold"] == exact(each["size"], 0.05, 0.5) == 41
                assert each["detected"] == (each["mismatches"] <= each["threshold"])
        for size, theta in record["thresholds"].items():
            assert theta == exact(int(size), 0.05, 0.5)


def test_recorded_sweeps_agree_with_the_verdicts(records):
    for record in records:
        for kind, part in zip(runs.KINDS, parts(record), strict=True):
            run, = [run for run in record["runs"]
                    if (run["kind"], run["epsilon"], run["size"]) == (kind, 0.1, 100)]
            found = run["mismatches"]
            assert found["marked"]["100"] == part["detection"]["mismatches"]
            assert found["fine-tuned"]["100"] == part["attacks"]["fine-tuning"]["mismatches"]
            assert [each["100"] for each in found["innocents"]] == [
                each["mismatches"] for each in part["innocents"]]
            assert found["plain"]["100"] == (50 if kind == "original" else 100)


def test_the_recorded_traps(records):
    """Innocent networks are convicted by the paper's key, and by no repaired one."""
    for record in records:
        assert all(each["detected"] for each in record["innocents"])
        assert not any(each["detected"] for each in record["repaired"]["innocents"])
        assert record["detection"]["detected"] and record["repaired"]["detection"]["detected"]


def test_the_stored_network_is_the_marked_one(records):
    """It gets right what its record says, and its owner's key is made again and checked."""
    data = ap.load("fashion_mnist")
    net, source = prior_network("frontier", 0), data.train[:runs.SETTINGS["source"]]
    key = frontier.key_set(prior_network("plain", 0), source.images, source.labels, 200,
                           runs.SETTINGS["epsilon"], seed=0)[:100]
    found = frontier.verify(net, key).mismatches
    assert abs(found - records[0]["detection"]["mismatches"]) <= 3  # of another machine
