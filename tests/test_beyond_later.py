"""Later locks: block-wise keys, channels, hidden weights, passports, forbidden domains."""

import copy
import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from toys import Linear, same, state_of, toy_split

import apdnn_lite as ap
from apdnn_lite.beyond import blockwise, channels, few_weights, memory, nontransfer, passports
from apdnn_lite.beyond.thieves import renormalize
from apdnn_lite.experiments import RecordError
from apdnn_lite.experiments.beyond import later
from apdnn_lite.experiments.beyond.measure import settings_of
from apdnn_lite.experiments.cli import main


class TwoLayers(nn.Module):
    """Two convolutions with batch normalization: what the locks on weights need, and no more."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 5, 3, bias=False), nn.BatchNorm2d(5)
        self.conv2, self.bn2 = nn.Conv2d(5, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 4)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.fc(x.mean(dim=(2, 3)))


@pytest.fixture
def owner():
    """(a network whose batch normalization remembers the images, these images)."""
    torch.manual_seed(0)
    images = toy_split(200, seed=1).images
    return renormalize(TwoLayers(), images, batch_size=200), images


# ---- block-wise keys

def by_hand(image, key):
    """A key's rule, one block and one pixel at a time."""
    m, result = key.size, image.copy()
    for top, left in itertools.product(range(0, image.shape[0], m), range(0, image.shape[1], m)):
        block = image[top:top + m, left:left + m].flatten()
        for k, (source, flipped) in enumerate(zip(key.order, key.flipped, strict=True)):
            value = block[source]
            result[top + k // m, left + k % m] = 1 - value if flipped else value
    return result


@pytest.mark.parametrize("shuffle, flip", [(True, True), (True, False), (False, True)])
def test_a_block_key_does_what_its_rule_says(shuffle, flip):
    key, images = blockwise.BlockKey(4, shuffle, flip, seed=3), toy_split(3).images
    expected = np.stack([by_hand(each[0].numpy(), key) for each in images])
    assert np.allclose(key(images)[:, 0].numpy(), expected, atol=1e-6)
    assert (key.order.tolist() == list(range(16))) is not shuffle
    assert key.flipped.any() == flip and sorted(key.order.tolist()) == list(range(16))


def test_a_block_key_follows_its_seed_and_stays_in_the_range_of_pixels():
    images = toy_split(3, channels=3).images
    one, again, other = (blockwise.BlockKey(2, channels=3, seed=each) for each in (5, 5, 6))
    assert torch.equal(one(images), again(images)) and not torch.equal(one(images), other(images))
    assert 0 <= one(images).min() and one(images).max() <= 1 + 1e-6
    assert one.settings()["order"] == one.order.tolist()


def test_a_changed_key_differs_where_it_was_told_to():
    key = blockwise.BlockKey(2, seed=0)
    turned, swapped = key.changed(flip=[1]), key.changed(swap=(0, 3))
    assert (turned.flipped != key.flipped).tolist() == [False, True, False, False]
    assert swapped.order[[0, 3]].tolist() == key.order[[3, 0]].tolist()
    assert swapped.order[[1, 2]].tolist() == key.order[[1, 2]].tolist()
    assert torch.equal(turned.order, key.order) and torch.equal(swapped.flipped, key.flipped)


def test_a_block_key_says_which_images_it_takes():
    with pytest.raises(ValueError, match="do not tile images of 8×8"):
        blockwise.BlockKey(3)(toy_split(2).images)
    with pytest.raises(ValueError, match="flip must be True or False"):
        blockwise.BlockKey(4, flip="no")
    with pytest.raises(ValueError, match="size must be a whole number"):
        blockwise.BlockKey(0)


@pytest.fixture
def patterns():
    """(a network that knows four patterns behind a key of flips, images of them, labels, key)."""
    numbers = np.random.default_rng(0)
    templates = (numbers.random((4, 8, 8)) < 0.5).astype(np.float32)
    labels = torch.arange(80) % 4
    noise = numbers.normal(0, 0.1, (80, 1, 8, 8))
    images = torch.from_numpy(templates[labels][:, None] * 0.8 + 0.1 + noise).clamp(0, 1).float()
    key = blockwise.BlockKey(2, shuffle=False, seed=0)
    known = key(torch.from_numpy(templates)[:, None]).flatten(1) - 0.5
    net = Linear(known.numpy(), -(known * 0.5).sum(dim=1).numpy())
    return net, images, labels, key


@pytest.mark.parametrize("labeled", [False, True])
def test_a_search_finds_the_bits_with_labels_or_without(patterns, labeled):
    net, images, labels, key = patterns
    right = (ap.predict(net, images, key).argmax(dim=1) == labels).float().mean()
    raw = (ap.predict(net, images).argmax(dim=1) == labels).float().mean()
    assert right > 0.95 and raw < 0.8
    found = blockwise.search(net, images, labels if labeled else None, size=2, tries=6, seed=1)
    best = found.transforms[found.picked]
    reached = (ap.predict(net, images, best).argmax(dim=1) == labels).float().mean()
    assert reached > (0.95 if labeled else raw) and len(found) == 6
    scores = [ap.attacks.information(ap.predict(net, images, each)).item()
              for each in found.transforms]
    if not labeled:
        assert np.allclose(found.scores, scores, atol=1e-5)
        assert max(scores) >= ap.attacks.information(ap.predict(net, images, key)) - 0.05


def test_a_climb_never_loses_and_stops_where_no_move_helps(patterns):
    net, images, _, _ = patterns
    start, seen = blockwise.BlockKey(2, False, False, seed=9).changed(flip=range(4)), []

    def score(key):
        seen.append(-float(key.flipped.sum()))
        return seen[-1]

    best, value = blockwise.climb(score, start, 5)
    assert value == 0 == max(seen) and not best.flipped.any()
    assert len(seen) == 1 + 2 * 4  # the second pass finds nothing, and is the last
    with pytest.raises(ValueError, match="labels from"):
        blockwise.search(net, images, torch.full((80,), 7), size=2, tries=1)


# ---- what batch normalization remembers

def test_norms_are_found_with_their_convolutions(owner):
    net, images = owner
    assert [(name, part) for name, part in memory.norms(net, images)] == [
        ("conv1", net.bn1), ("conv2", net.bn2)]
    with pytest.raises(ValueError, match="remembers nothing"):
        memory.norms(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), images)
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in net.modules())


def test_the_distance_is_the_formula():
    part = nn.BatchNorm2d(2, eps=0)
    part.running_mean.copy_(torch.tensor([1.0, 0.0]))
    part.running_var.copy_(torch.tensor([4.0, 1.0]))
    found = memory.distance((torch.tensor([3.0, 0.0]), torch.tensor([4.0, np.e ** 2])), part)
    assert torch.allclose(found, torch.tensor([1.0, 1.0]))


def test_the_mismatch_is_small_on_the_owners_images_and_has_a_gradient(owner):
    net, images = owner
    before = state_of(net)
    assert memory.mismatch(net, images) < 1e-4 < 0.1 < memory.mismatch(net, 1 - images / 3)
    memory.mismatch(net, images[:50]).backward()
    assert net.conv1.weight.grad.abs().sum() > 0
    net.zero_grad()
    assert same(state_of(net), before)


def test_convolutions_replay_what_they_gave_and_are_themselves_again(owner):
    net, images = owner
    before, some = ap.predict(net, images[:20]), images[:20]
    with torch.no_grad(), memory.replaying(net, some, [net.conv1]):
        assert torch.allclose(net(some), before, atol=1e-5)
        assert torch.allclose(net(1 - some), before, atol=1e-5)  # conv1 did not look
    assert "forward" not in vars(net.conv1) and not net.conv1._forward_hooks
    assert not torch.allclose(ap.predict(net, 1 - some), before, atol=1e-3)


# ---- permuted channels

@pytest.mark.parametrize("signs", [False, True])
def test_the_key_unlocks_bit_for_bit_and_a_wrong_one_does_not(owner, signs):
    net, images = owner
    key, other = (channels.draw_key(net, signs, each) for each in (0, 1))
    locked = channels.lock(net, key)
    assert same(state_of(channels.unlock(locked, key)), state_of(net))
    assert not same(state_of(channels.unlock(locked, other)), state_of(net))
    order, sign = key["conv2"]
    assert torch.equal(locked.conv2.weight[2], sign[2] * net.conv2.weight[order[2]])
    assert all((each.abs() == 1).all() for _, each in key.values())
    assert any((each < 0).any() for _, each in key.values()) == signs
    assert not torch.allclose(ap.predict(locked, images), ap.predict(net, images), atol=1e-3)


@pytest.mark.parametrize("signs, own", [(False, 0.0), (True, 0.0), (True, 1.0)])
def test_the_order_is_read_from_what_is_remembered(owner, signs, own):
    net, images = owner
    key = channels.draw_key(net, signs, 3)
    locked = channels.lock(net, key)
    before = state_of(locked)
    opened, found = channels.match(locked, images, signs, look=2, own=own)
    assert same(state_of(opened), state_of(net)) and same(state_of(locked), before)
    for name, (order, sign) in key.items():
        assert torch.equal(found[name][0], order) and torch.equal(found[name][1], sign)


def test_looking_ahead_tells_channels_apart_that_look_alike(owner):
    net, images = owner
    with torch.no_grad():  # two channels of one mean and variance, turned on their heads
        net.conv1.weight[1] = net.conv1.weight[0].flip(0, 1)
    net = renormalize(net, images, batch_size=200)
    net.bn1.running_mean[:2] = net.bn1.running_mean[:2].flip(0)
    net.bn1.running_var[:2] = net.bn1.running_var[:2].flip(0)
    key = {"conv1": (torch.arange(5), torch.ones(5)), "conv2": (torch.arange(6), torch.ones(6))}
    blind, _ = channels.match(net, images, look=0)
    seeing, found = channels.match(net, images, look=3, few=200)
    stubborn, _ = channels.match(net, images, look=3, few=200, own=1e6)
    assert same(state_of(stubborn), state_of(blind))  # only the layer's own distance counts
    assert not same(state_of(blind), state_of(net))
    assert same(state_of(seeing), state_of(net))
    assert all(torch.equal(found[name][0], key[name][0]) for name in key)


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_the_assignment_is_the_cheapest_of_all(n):
    numbers = np.random.default_rng(n)
    for _ in range(20):
        cost = numbers.normal(size=(n, n))
        columns = channels.assign(torch.from_numpy(cost)).numpy()
        least = min(cost[range(n), list(each)].sum() for each in itertools.permutations(range(n)))
        assert sorted(columns) == list(range(n))
        assert np.isclose(cost[np.arange(n), columns].sum(), least)


# ---- a few hidden weights

@pytest.fixture
def labeled(owner):
    net, images = owner
    labels = ap.predict(net, images).argmax(dim=1)  # of which the network is right
    return ap.Split(images, labels, torch.arange(len(images)))


def test_hidden_weights_are_few_and_come_back_bit_for_bit(owner, labeled):
    net, _ = owner
    before = state_of(net)
    locked, secret = few_weights.hide(net, labeled, count=12, rounds=3, seed=0)
    changed = [(a != b).sum().item() for a, b in
               zip(few_weights.filters(net), few_weights.filters(locked), strict=True)]
    assert sum(changed) == 12 == len(secret.places) == len(secret.values)
    assert same(state_of(few_weights.restore(locked, secret)), before)
    assert same(state_of(net), before)
    for a, b in zip(few_weights.filters(net), few_weights.filters(locked), strict=True):
        assert a.min() <= b.min() and b.max() <= a.max()
    assert ap.accuracy(locked, labeled) < 0.7 < ap.accuracy(net, labeled)


def test_a_guessed_secret_has_the_right_form_and_does_not_unlock(owner, labeled):
    net, _ = owner
    locked, secret = few_weights.hide(net, labeled, count=12, rounds=3, seed=0)
    places = few_weights.wrong(locked, secret, seed=1, places=True)
    blind = few_weights.wrong(locked, secret, seed=1)
    assert torch.equal(places.places, secret.places) and len(blind.places) == 12
    for guess in (places, blind):
        assert not same(state_of(few_weights.restore(locked, guess)), state_of(net))
    with pytest.raises(ValueError, match="count must be a whole number"):
        few_weights.hide(net, labeled, count=0)


def test_healing_brings_back_what_is_remembered(owner, labeled):
    net, images = owner
    locked, _ = few_weights.hide(net, labeled, count=12, rounds=3, seed=0)
    before = state_of(locked)
    healed = few_weights.heal(locked, images, steps=40, lr=1e-2, batch_size=200, seed=0)
    assert memory.mismatch(healed, images) < memory.mismatch(locked, images) / 3
    assert same(state_of(locked), before) and same(
        state_of(healed), state_of(few_weights.heal(locked, images, 40, 1e-2, 200, 0)))
    assert torch.equal(healed.fc.weight, locked.fc.weight)


def test_a_foreseeing_owner_does_not_look_at_what_is_remembered(owner, labeled):
    net, _ = owner
    other, before = copy.deepcopy(net), state_of(net)
    other.bn1.running_mean += 3
    other.bn2.running_var *= 9
    for foresee in (False, True):
        (locked, secret), (_, alike) = (few_weights.hide(
            each, labeled, count=12, rounds=3, foresee=foresee) for each in (net, other))
        assert torch.equal(secret.places, alike.places) == foresee
        assert same(state_of(few_weights.restore(locked, secret)), before)
        assert not locked.training and not any(each.requires_grad for each in locked.parameters())
    assert same(state_of(net), before)


def test_the_hunt_zeroes_what_disturbs_the_memory(owner):
    net, images = owner
    disturbed = few_weights.restore(net, few_weights.Secret(
        torch.tensor([3, 50]), torch.tensor([1.5, -1.2])))
    hunted = few_weights.hunt(disturbed, images, rounds=4, size=1)
    zero = (few_weights.flat(few_weights.filters(hunted)) == 0).nonzero()[:, 0].tolist()
    assert {3, 50} <= set(zero)
    assert memory.mismatch(hunted, images) < memory.mismatch(disturbed, images) / 2
    assert same(state_of(few_weights.hunt(net, images, 1, 5)), state_of(net))  # nothing helps


# ---- passports

def test_scale_and_shift_are_what_the_layer_makes_of_the_passport():
    torch.manual_seed(0)
    net, passport = passports.PassportCNN().eval(), passports.draw_passport(1)
    images = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        scale = F.conv2d(passport, net.conv3.weight, padding=1).mean(dim=(2, 3))
        assert torch.allclose(net.scale(passport), scale, atol=1e-6)
        user, thief = passports.WithPassport(net, passport)(images), net(images)
        assert torch.allclose(user, passports.Forged(net, scale)(images), atol=1e-5)
        plain = torch.stack([torch.ones(64), torch.zeros(64)])
        assert torch.allclose(thief, passports.Forged(net, plain)(images), atol=1e-5)
        assert not torch.allclose(user, thief, atol=1e-3)
    assert "passport" not in str(list(net.state_dict()))
    with pytest.raises(ValueError, match="passport must be a floating-point tensor"):
        net.scale(passport[:1])


def test_a_passport_follows_its_seed():
    one, again, other = (passports.draw_passport(each) for each in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.shape == (2, 32, 7, 7)


@pytest.mark.parametrize("labeled", [False, True])
def test_forging_improves_the_thiefs_score_and_leaves_the_network(labeled):
    torch.manual_seed(0)
    net, few = passports.PassportCNN().eval(), toy_split(40, side=28)
    before, labels = state_of(net), few.labels if labeled else None
    how = {"temperatures": (1,), "tries": 1, "lr": 0.1, "batch_size": 40, "seed": 2}
    scores = [passports.forge(net, few.images, labels, steps=steps, **how)[1][0]
              for steps in (1, 40)]
    nets, again = passports.forge(net, few.images, labels, steps=40, **how)
    assert scores[1] > scores[0] + (0.05 if labeled else 0.001) and again == scores[1:]
    assert same(state_of(net), before) and nets[0](few.images).shape == (40, 10)
    logits = ap.predict(nets[0], few.images)
    expected = (-F.cross_entropy(logits, few.labels) if labeled
                else ap.attacks.information(logits)).item()
    assert np.isclose(scores[1], expected, atol=1e-5)


def test_every_temperature_gets_its_tries():
    net = passports.PassportCNN().eval()
    nets, scores = passports.forge(net, toy_split(6, side=28).images, temperatures=(1, 4), tries=2,
                                   steps=1)
    assert len(nets) == len(scores) == 4


# ---- non-transferable learning

def test_the_discrepancy_of_one_set_is_0_and_grows_with_the_distance():
    numbers = torch.Generator().manual_seed(0)
    a = torch.randn(40, 5, generator=numbers)
    near, far = (nontransfer.discrepancy(a, a + shift).item() for shift in (0.5, 3.0))
    assert abs(nontransfer.discrepancy(a, a).item()) < 1e-5 < near < far


def test_the_discrepancy_is_the_formula():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [4.0]])
    points = [0.0, 1.0, 2.0, 4.0]
    usual = np.mean([(x - y) ** 2 for x in points for y in points])

    def alike(xs, ys):
        return np.mean([np.exp(-(x - y) ** 2 / (w * usual))
                        for x in xs for y in ys for w in (0.5, 2.0)]) * 2

    expected = alike([0, 1], [0, 1]) + alike([2, 4], [2, 4]) - 2 * alike([0, 1], [2, 4])
    assert np.isclose(nontransfer.discrepancy(a, b, (0.5, 2.0)).item(), expected, atol=1e-5)


def test_training_forbids_raw_images_and_follows_its_seed():
    few = ap.load("fashion_mnist").train[:200]
    key, states = ap.Fixed((1, 28, 28), 0.5, 0.5, seed=0), []
    for epochs in (1, 1, 15):
        torch.manual_seed(0)
        net = nontransfer.train(ap.prior.TinyCNN(), few, key, epochs, 5e-3, 32, alpha=0.5, seed=1)
        states.append(state_of(net))
    assert same(*states[:2]) and not net.training
    found = ap.access(net, few, key)
    assert found.authorized > 0.5 and found.unauthorized < found.authorized - 0.1


def test_a_training_that_diverges_is_told():
    few, net = toy_split(20, side=28), ap.prior.TinyCNN()
    with pytest.raises(ValueError, match="diverged"):
        nontransfer.train(net, few, ap.Fixed((1, 28, 28), 0.1, 0.2, seed=0), lr=1e30)


# ---- what is recorded

def test_every_lock_is_recorded_three_times_with_the_settings_of_today():
    for lock in later.LOCKS:
        records = later.later_records(lock)
        assert [record["asked"]["seed"] for record in records] == [0, 1, 2]
        for record in records:
            assert record["asked"]["settings"] == json.loads(json.dumps(settings_of(lock)))


def test_every_record_answers_the_questions_of_its_chapter():
    for lock in later.LOCKS:
        for record in later.later_records(lock):
            found = record["came_out"]
            assert found["authorized"]["test"] > found["unauthorized"]["test"] + 0.2, lock
            assert found["wrong"]["mean"] <= found["wrong"]["best"]
            assert found["label_free"] and "fine_tune" in found["labels"]
            assert found["cost"]["train_seconds"] >= 0
            for attack in (*found["label_free"].values(), *found["labels"].values()):
                assert 0 <= attack["test"] <= 1 and 0 <= attack["choose"] <= 1


def test_stored_networks_score_as_recorded(capsys):
    assert later.check()
    assert capsys.readouterr().out.count("recorded") == 9


def test_what_is_not_recorded_is_told(tmp_path):
    with pytest.raises(ValueError, match="unknown family 'doors'"):
        later.later_records("doors")
    with pytest.raises(RecordError, match="apdnn_lite later passports"):
        later.later_records("passports", tmp_path)
    with pytest.raises(RecordError, match="no network of channels is stored"):
        later.later_network("channels")


def test_the_command_makes_what_is_missing_and_no_more(tmp_path, monkeypatch, capsys):
    made = []

    def run(seed, sets):
        made.append((seed, sets.name))
        return {"authorized": {"test": 0.5}}, None

    monkeypatch.setitem(later.RUNS, "passports", run)
    for seeds in (["1"], ["0", "1"]):
        assert main(["later", "passports", "--folder", str(tmp_path), "--seeds", *seeds]) == 0
    assert made == [(1, "fashion_mnist"), (0, "fashion_mnist")]
    assert [record["came_out"] for record in later.later_records("passports", tmp_path)] == [
        {"authorized": {"test": 0.5}}] * 2
    assert "passports, seed 1: recorded" in capsys.readouterr().out


# ---- what does not fit

def test_what_does_not_fit_a_lock_is_refused_before_it_begins(owner):
    net, images = owner
    split = ap.Split(images, torch.zeros(len(images), dtype=torch.int64), torch.arange(len(images)))
    tiny = ap.prior.TinyCNN()
    for use, message in (
            (lambda: blockwise.search(net, images, size=4, tries=0), "tries must be a whole"),
            (lambda: blockwise.search(net, images, size=4, passes=0), "passes must be a whole"),
            (lambda: channels.lock(tiny, channels.draw_key(ap.ResNet20(), seed=0)),
             "unknown layer 'conv': expected one of conv1, conv2, conv3"),
            (lambda: few_weights.hide(net, split, count=1000),
             "count must be a whole number, from 1 to 315, got 1000"),
            (lambda: passports.WithPassport(tiny, passports.draw_passport(0)),
             "expected a PassportCNN, got TinyCNN"),
            (lambda: passports.WithPassport(passports.PassportCNN(), None),
             "passport must be a floating-point tensor"),
            (lambda: passports.forge(tiny, images), "expected a PassportCNN, got TinyCNN"),
            (lambda: nontransfer.train(tiny, split, None), "expected a network or a transform"),
            (lambda: nontransfer.train(net, split, nn.Identity()),
             "expected a network with features")):
        with pytest.raises(ValueError, match=message):
            use()
