"""A mark in the weights: the formulas by NumPy, the thief's moves, and the shipped records."""

import hashlib
import inspect
import math
import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import same, state_of, toy_split

import apdnn_lite as ap
from apdnn_lite.experiments.prior import innocents, prior_network, prior_records
from apdnn_lite.experiments.prior import weights as recorded
from apdnn_lite.prior import TinyCNN
from apdnn_lite.prior import weights as marks

SPLIT = toy_split(64, side=28)


def network(seed=0, make=TinyCNN):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def mean_by_numpy(net, carrier="conv3"):
    """w̄ by NumPy: the mean over output channels, then in the order (channel, row, column)."""
    weight = net.get_submodule(carrier).weight.detach().double().numpy()
    return sum(weight[k].reshape(-1) for k in range(len(weight))) / len(weight)


# ---- the owner

@pytest.mark.parametrize("make, carrier, M", [
    (TinyCNN, "conv2", 144), (TinyCNN, "conv3", 288), (ap.SimpleCNN, "conv2", 288),
    (ap.ResNet20, "stage3.2.conv2", 576)])
def test_the_mark_is_read_and_embedded_by_the_formula(make, carrier, M):
    net = network(make=make)
    key = marks.draw_key(net, carrier, 20, seed=3)
    assert key.X.shape == (20, M) and key.X.dtype == torch.float32
    assert key.bits.shape == (20,) and key.bits.dtype == torch.bool
    X, b = key.X.numpy().astype(float), key.bits.numpy()
    z = X @ mean_by_numpy(net, carrier)
    assert marks.read(net, key).numpy() == pytest.approx(z, abs=1e-6)
    assert marks.wrong_bits(net, key) == ((z > 0) != b).sum()
    expected = -(b * np.log(sigmoid(z)) + (1 - b) * np.log(1 - sigmoid(z))).sum()
    assert marks.mark_loss(net, key).item() == pytest.approx(expected, rel=1e-5)


def test_the_gradient_is_the_same_for_every_filter():
    """∂E_R/∂w_k = Xᵀ(σ(X·w̄) − b) / K: the mark asks the same of each of the K filters."""
    net = network()
    key = marks.draw_key(net, "conv3", 20, seed=3)
    marks.mark_loss(net, key).backward()
    X, b = key.X.numpy().astype(float), key.bits.numpy()
    expected = X.T @ (sigmoid(X @ mean_by_numpy(net)) - b) / 64
    found = net.conv3.weight.grad.flatten(1)
    assert found[0].numpy() == pytest.approx(expected, abs=1e-5)
    assert torch.allclose(found, found[:1].expand_as(found))


def test_one_step_by_hand():
    """One step of Adam on E₀ + λ·E_R, the carrier at a rate of its own."""
    net, few = network(), SPLIT[:8]
    key = marks.draw_key(net, "conv3", 20, seed=3)
    found = marks.embed(net, few, key, lam=0.3, epochs=1, lr=1e-4, carrier_lr=1e-2, batch_size=8)
    loss = torch.nn.functional.cross_entropy(net(few.images), few.labels)
    loss = loss + 0.3 * marks.mark_loss(net, key)
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    after = dict(found.named_parameters())
    for (name, before), gradient in zip(net.named_parameters(), gradients, strict=True):
        rate = 1e-2 if name == "conv3.weight" else 1e-4
        step = rate * gradient / (gradient.abs() + 1e-8)  # Adam's first step
        clear = gradient.abs() > 1e-5  # elsewhere rounding decides the direction
        assert torch.allclose((before - step)[clear], after[name][clear], atol=rate / 20), name


def test_adam_moves_the_mean_filter_by_at_most_about_its_rate_a_step():
    """The trap: whatever λ is, steps × rate is all the way that w̄ can go."""
    net = network()
    key = marks.draw_key(net, "conv3", 64, seed=3)
    moved = {}
    for lam in (1.0, 100.0):
        after = marks.embed(net, SPLIT, key, lam, 2, 1e-4, carrier_lr=1e-3, batch_size=32)
        moved[lam] = np.abs(mean_by_numpy(after) - mean_by_numpy(net)).max()
        assert moved[lam] < 1.5 * 4 * 1e-3
    assert moved[100.0] < 1.5 * moved[1.0]


def test_a_mark_is_embedded_and_only_its_own_key_reads_it():
    net = network()
    key = marks.draw_key(net, "conv3", 32, seed=3)
    marked = marks.embed(net, SPLIT, key, lam=1, epochs=10, carrier_lr=1e-2, batch_size=32)
    assert marks.wrong_bits(marked, key) == 0 and marks.wrong_bits(net, key) > 5
    others = [marks.wrong_bits(marked, marks.draw_key(net, "conv3", 32, seed))
              for seed in range(100, 140)]
    assert 14 < statistics.fmean(others) < 18 and min(others) > 3
    assert not marked.training and all(each.grad is None for each in marked.parameters())


def test_a_key_comes_from_its_seed_or_from_the_system():
    net = network()
    keys = [marks.draw_key(net, "conv3", 16, seed) for seed in (1, 1, 2, None, None)]
    digests = [marks.commitment(key) for key in keys]
    assert digests[0] == digests[1] and len(set(digests)) == 4
    X = marks.draw_key(net, "conv3", 400, seed=5)
    assert abs(X.X.mean()) < 0.02 and abs(X.X.std() - 1) < 0.02
    assert 150 < X.bits.sum() < 250


# ---- the judge

@given(st.integers(1, 200), st.integers(0, 220))
@settings(max_examples=50)
def test_the_chance_is_the_binomial_one(bits, wrong):
    logs = [math.lgamma(bits + 1) - math.lgamma(k + 1) - math.lgamma(bits - k + 1)
            - bits * math.log(2) for k in range(min(wrong, bits) + 1)]
    assert marks.chance(bits, wrong) == pytest.approx(math.fsum(map(math.exp, logs)), rel=1e-9)


def test_the_chance_of_known_cases():
    assert marks.chance(1, 0) == 0.5 and marks.chance(3, 1) == 0.5 and marks.chance(5, 5) == 1
    assert marks.chance(64, 0) == 2.0**-64 and marks.chance(2000, 0) == 0.0  # below any float


def test_an_unmarked_network_passes_at_the_stated_rate():
    """X·w̄ is a fair coin for each bit if X was drawn without knowing w̄, whatever w̄ is."""
    net, allowed, keys = prior_network("plain", 0), 5, 800
    passed = sum(marks.wrong_bits(net, marks.draw_key(net, "conv3", 16, seed)) <= allowed
                 for seed in range(keys))
    expected = marks.chance(16, allowed)  # 0.105
    assert abs(passed / keys - expected) < 4 * math.sqrt(expected * (1 - expected) / keys)


def test_the_commitment_is_sha256_of_all_parts():
    key = marks.draw_key(network(), "conv3", 8, seed=0)
    content = b"conv3 <f4 (8, 288) |b1 (8,)\n" + key.X.numpy().tobytes()
    assert marks.commitment(key) == hashlib.sha256(content + key.bits.numpy().tobytes()).hexdigest()
    X = key.X.clone()
    X[0, 0] += 1e-3
    others = [key._replace(carrier="conv2"), key._replace(bits=~key.bits), key._replace(X=X),
              key._replace(X=key.X.double())]
    assert len({marks.commitment(each) for each in (key, *others)}) == 5


# ---- the thief

@pytest.mark.parametrize("second, permute, spread", [
    ("conv3", True, 0.0), ("conv3", False, 2.0), ("conv3", True, 1.0)])
def test_no_answer_changes_and_the_mark_does(second, permute, spread):
    net = network()
    found = marks.rewire(net, "conv2", second, permute, spread, seed=1)
    assert torch.allclose(found(SPLIT.images), net(SPLIT.images), atol=1e-5)
    assert np.abs(mean_by_numpy(found) - mean_by_numpy(net)).max() > 1e-3


def test_permuting_by_hand():
    """Input channels of the carrier move; the order of its outputs is lost in the mean."""
    net = network()
    found, order = marks.rewire(net, "conv2", "conv3", seed=1), np.random.default_rng(1)
    order = order.permutation(32)
    assert torch.equal(found.conv2.weight, net.conv2.weight[order])
    assert torch.equal(found.conv2.bias, net.conv2.bias[order])
    assert torch.equal(found.conv3.weight, net.conv3.weight[:, order])
    assert torch.equal(found.conv3.bias, net.conv3.bias)
    outputs = marks.rewire(net, "conv3", "fc", seed=1)
    assert torch.allclose(outputs(SPLIT.images), net(SPLIT.images), atol=1e-5)
    assert mean_by_numpy(outputs) == pytest.approx(mean_by_numpy(net), abs=1e-7)


def test_permuted_channels_read_as_coins():
    """The trap of the family: symmetry takes off what noise leaves."""
    key = marks.draw_key(network(), "conv3", 64, seed=0)
    marked = prior_network("weights", 0)
    wrong = [marks.wrong_bits(marks.rewire(marked, "conv2", "conv3", seed=seed), key)
             for seed in range(20)]
    assert marks.wrong_bits(marked, key) <= 2 and 27 < statistics.fmean(wrong) < 37


def test_the_owner_puts_channels_back_with_the_original():
    net = network()
    hidden = marks.rewire(net, "conv2", "conv3", spread=1.5, seed=2)
    found = recorded.realigned(hidden, net, "conv2", "conv3")
    assert torch.allclose(found.conv3.weight, net.conv3.weight, atol=1e-5)
    assert torch.allclose(found(SPLIT.images), net(SPLIT.images), atol=1e-4)


@pytest.mark.parametrize("share", [0, 0.25, 0.65, 1])
def test_pruning_removes_the_smallest_weights_of_each_layer(share):
    net = network()
    found = marks.prune(net, share)
    for name in ("conv1", "conv2", "conv3", "fc"):
        before = net.get_submodule(name).weight.detach().numpy().ravel()
        gone = np.argsort(np.abs(before), kind="stable")[:round(share * before.size)]
        expected = before.copy()
        expected[gone] = 0
        assert np.array_equal(found.get_submodule(name).weight.detach().numpy().ravel(), expected)
        assert torch.equal(found.get_submodule(name).bias, net.get_submodule(name).bias)


def test_a_forged_key_reads_any_message_from_any_network():
    """The trap: a key drawn after the network is no evidence, and its commitment shows it."""
    message = marks.draw_key(network(), "conv3", 64, seed=0).bits
    for seed, net in enumerate(innocents()[:3]):
        forged = marks.forge(net, "conv3", message, seed)
        fresh = marks.draw_key(net, "conv3", 64, seed)
        assert marks.wrong_bits(net, forged) == 0
        assert torch.equal(forged.bits, message)
        assert torch.equal(forged.X.abs(), fresh.X.abs())  # signs of rows flip, no more
        assert marks.commitment(forged) != marks.commitment(fresh._replace(bits=message))


def test_finetuning_is_training_without_a_mark():
    net = network()
    found = marks.finetune(net, SPLIT, epochs=1, lr=1e-2, seed=4)
    again = marks.embed(net, SPLIT, None, epochs=1, lr=1e-2, seed=4)
    assert same(state_of(found), state_of(again)) and not same(state_of(found), state_of(net))


# ---- contract

MOVES = {
    "embed": lambda net: marks.embed(net, SPLIT, marks.draw_key(net, "conv3", 8, 0), epochs=1),
    "finetune": lambda net: marks.finetune(net, SPLIT, epochs=1),
    "prune": lambda net: marks.prune(net, 0.5),
    "rewire": lambda net: marks.rewire(net, "conv2", "conv3", spread=1),
    "forge": lambda net: marks.forge(net, "conv3", torch.ones(4, dtype=torch.bool)),
    "read": lambda net: marks.read(net, marks.draw_key(net, "conv3", 8)),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("training", [True, False])
def test_the_network_and_the_random_state_are_left_as_they_were(move, training):
    net = network().train(training)
    before, random = state_of(net), torch.get_rng_state()
    with torch.no_grad():  # whatever surrounds it
        move(net)
    assert same(state_of(net), before) and torch.equal(torch.get_rng_state(), random)
    assert all(part.training == training for part in net.modules())
    assert all(each.grad is None and each.requires_grad for each in net.parameters())


@pytest.mark.parametrize("name", ["embed", "finetune", "rewire", "forge"])
def test_the_seed_decides(name):
    first, again = (MOVES[name](network()) for _ in range(2))
    if name == "forge":
        assert torch.equal(first.X, again.X)
    else:
        assert same(state_of(first), state_of(again))
        assert inspect.signature(getattr(marks, name)).parameters["seed"].default == 0


@pytest.mark.parametrize("call, message", [
    (lambda net, key: marks.draw_key(net, "fc"), "unknown layer 'fc': expected one of conv1"),
    (lambda net, key: marks.draw_key(net, "conv3", 0), "bits must be a whole number"),
    (lambda net, key: marks.read(net, key._replace(carrier="conv2")), r"shape \(8, 144\)"),
    (lambda net, key: marks.read(net, key._replace(bits=key.bits.float())), "must be a bool"),
    (lambda net, key: marks.read(net, key._replace(bits=key.bits[:5])), r"shape \(5, 288\)"),
    (lambda net, key: marks.chance(8, -1), "wrong must be a whole number, 0 or more"),
    (lambda net, key: marks.embed(net, SPLIT, key, lam=-1), "lam must be"),
    (lambda net, key: marks.embed(net, SPLIT, key, carrier_lr=math.nan), "carrier_lr must be"),
    (lambda net, key: marks.embed(net, SPLIT[:0], key), "holds no image"),
    (lambda net, key: marks.embed(net, SPLIT, key, lr=1e30, epochs=3), "diverged"),
    (lambda net, key: marks.prune(net, 1.5), "share must be"),
    (lambda net, key: marks.rewire(net, "conv1", "conv3"), "reads 32 channels, and conv1 makes 16"),
    (lambda net, key: marks.rewire(net, "conv2", "conv3", spread=-1), "spread must be"),
])
def test_wrong_input_is_refused(call, message):
    net = network()
    with pytest.raises(ValueError, match=message):
        call(net, marks.draw_key(net, "conv3", 8, seed=0))


def test_weights_that_are_no_numbers_carry_no_bits():
    """NaN > 0 is False: a network of NaN would otherwise "read" as a message of zeros."""
    net = network()
    key = marks.draw_key(net, "conv3", 8, seed=0)
    with torch.no_grad():
        net.conv3.weight[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="no bit can be read"):
        marks.wrong_bits(net, key)


# ---- the records

def verdicts(came_out):
    yield came_out["detection"]
    yield came_out["before_the_mark"]
    for part in ("innocents", "forged", "pruning", "sweep", "rates"):
        yield from came_out[part]
    yield from came_out["attacks"].values()


def test_the_records_are_consistent():
    records = prior_records("weights")
    assert [record["asked"]["seed"] for record in records] == [0, 1, 2]
    for record in records:
        came_out, asked = record["came_out"], record["asked"]["settings"]
        for name in ("before", "after", "control", "copy"):
            share = came_out[name]
            assert share["accuracy"] == share["correct"] / share["images"], name
            low, high = ap.binomial_interval(share["correct"], share["images"])
            assert share["interval"] == pytest.approx([low, high])
        assert came_out["copy"] == came_out["after"]
        assert len(came_out["innocents"]) == len(came_out["forged"]) == 10
        for each in verdicts(came_out):
            assert each["rate"] == each["wrong"] / each["bits"]
            assert each["chance"] == pytest.approx(marks.chance(each["bits"], each["wrong"]))
            assert each["detected"] == (each["chance"] <= asked["level"])
        for each in came_out["sweep"]:
            assert sum(each["projections"]) == each["bits"] and sum(each["filter"]) == 288
        counts = came_out["null"]["counts"]
        assert sum(counts) == 10 * came_out["null"]["keys"] and len(counts) == 65


def test_the_stored_network_is_the_one_that_was_measured():
    record = prior_records("weights")[0]
    came_out, seed = record["came_out"], record["asked"]["seed"]
    net = prior_network("weights", seed)
    key = marks.draw_key(net, "conv3", came_out["detection"]["bits"], seed)
    assert abs(marks.wrong_bits(net, key) - came_out["detection"]["wrong"]) <= 1
    assert marks.mean_filter(net, key).std().item() == pytest.approx(
        came_out["spread"]["marked"], rel=1e-4)
