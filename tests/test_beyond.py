"""Thieves with few labels or none, mended locks, and the records of what came out."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import apdnn_lite as ap
from apdnn_lite import data as loaders
from apdnn_lite.beyond import labels, mended, thieves
from apdnn_lite.experiments import RecordError, beyond
from apdnn_lite.experiments.beyond import mended as locks
from apdnn_lite.experiments.beyond import store
from apdnn_lite.experiments.beyond import thieves as tried
from apdnn_lite.experiments.cli import main


@pytest.fixture(scope="module")
def data():
    return ap.load("fashion_mnist")


class Bright(nn.Module):
    """Four classes told apart by the brightest quarter; one answer to all until a key is added."""

    def __init__(self, sharp=40.0):
        super().__init__()
        self.sharp = sharp
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        quarters = F.avg_pool2d(x, 4).flatten(1)
        locked = torch.relu(0.6 - x.mean(dim=(1, 2, 3)))[:, None]  # dark images turn the answer
        one_answer = torch.tensor([1.0, 0.0, 0.0, 0.0])
        return self.sharp * (quarters + locked * one_answer) + self.weight


def quarters(count=200, seed=0):
    """Raw images 8×8, one quarter brighter than the others; the label says which."""
    generator = torch.Generator().manual_seed(seed)
    answers = torch.randint(4, (count,), generator=generator)
    images = 0.1 * torch.rand(count, 1, 8, 8, generator=generator)
    for image, answer in zip(images, answers.tolist(), strict=True):
        row, column = divmod(answer, 2)
        image[:, 4 * row:4 * row + 4, 4 * column:4 * column + 4] += 0.2
    return ap.Split(images, answers, torch.arange(count))


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# ---- a few labels

def test_pick_takes_as_many_of_each_class_and_others_for_another_seed(data):
    few = labels.pick(data.train, 3, seed=1)
    assert few.labels.bincount().tolist() == [3] * 10
    assert torch.equal(few.indices, labels.pick(data.train, 3, seed=1).indices)
    assert not torch.equal(few.indices, labels.pick(data.train, 3, seed=2).indices)
    with pytest.raises(ValueError, match="expected 30 images of class"):
        labels.pick(data.train[:100], 30)


@pytest.mark.parametrize("thief", [labels.read_out, labels.universal_key, labels.fine_tune])
def test_thieves_with_labels_refuse_what_no_class_of_the_network_is(data, thief):
    net, few = ap.SimpleCNN().eval(), labels.pick(data.train, 1)
    for wrong in (ap.Split(few.images, few.labels + 5, few.indices),
                  ap.Split(few.images, few.labels - 1, few.indices)):
        with pytest.raises(ValueError, match="expected labels from 0 to 9"):
            thief(net, wrong)
    with pytest.raises(ValueError, match=r"images must be raw, with pixels in \[0, 1\]"):
        thief(net, ap.Split(few.images * 255, few.labels, few.indices))


def test_a_split_is_asked_for_by_its_name(data):
    net = ap.SimpleCNN().eval()
    pair = data.test.images, data.test.labels
    of_torch = torch.utils.data.TensorDataset(*pair)
    for wrong, kind in ((data.test.images, "Tensor of shape"), (pair, "tuple"),
                        (of_torch, "TensorDataset"), (net, "SimpleCNN")):
        for use in (lambda wrong: ap.accuracy(net, wrong), lambda wrong: labels.pick(wrong, 1),
                    lambda wrong: labels.read_out(net, wrong),
                    lambda wrong: ap.fit(net, wrong, data.validation, epochs=1),
                    lambda wrong: ap.fit(net, data.train, wrong, epochs=1)):
            with pytest.raises(ValueError, match=f"expected a Split, .* got {kind}"):
                use(wrong)


def test_features_are_what_the_last_layer_reads(data):
    images = data.test.images[:4]
    for net in (ap.SimpleCNN().eval(), ap.ResNet20().eval()):
        last = net.fc2 if isinstance(net, ap.SimpleCNN) else net.fc
        seen = labels.representation(net, images, "features")
        assert torch.allclose(last(seen), net(images), atol=1e-5)
        assert torch.allclose(labels.representation(net, images, "logits"), net(images), atol=1e-5)
    assert labels.representation(net, images, "stage1").shape == (4, 16)
    assert torch.equal(labels.representation(net, images, "pixels"), images.flatten(1))
    with pytest.raises(ValueError, match="unknown layer 'stage9'"):
        labels.representation(net, images, "stage9")
    with pytest.raises(ValueError, match="no linear layer"):
        labels.representation(nn.Flatten(), images, "features")


def test_a_read_out_is_logistic_regression_at_its_minimum(data):
    net, few = ap.SimpleCNN().eval(), labels.pick(data.train, 4)
    before = state(net)
    thief = labels.read_out(net, few, "pixels", weight=0.7)
    linear = copy.deepcopy(thief.linear).double().requires_grad_(True)
    inputs = ((few.images.flatten(1) - thief.mean) / thief.scale).double()
    loss = F.cross_entropy(linear(inputs), few.labels, reduction="sum")
    (loss + 0.35 * linear.weight.square().sum()).backward()
    assert linear.weight.grad.abs().max() < 0.05 and linear.bias.grad.abs().max() < 0.05
    assert ap.accuracy(thief, few) == 1.0 and same(before, net.state_dict())
    assert not any(each.requires_grad for each in thief.parameters())


def test_a_key_searched_with_labels_opens_a_lock_and_changes_no_weight():
    net, split = Bright().eval(), quarters()
    before = state(net)
    assert ap.accuracy(net, split) < 0.35
    key = labels.universal_key(net, labels.pick(split, 2), steps=80, seed=1)
    assert ap.accuracy(net, split, key) > 0.95
    searched = labels.universal_key(net, labels.pick(split, 1), split.images, steps=80, seed=1)
    assert ap.accuracy(net, split, searched) > 0.95
    assert same(before, net.state_dict()) and not key.delta.requires_grad
    assert net.weight.grad is None
    assert torch.equal(key.delta, labels.universal_key(net, labels.pick(split, 2), steps=80,
                                                       seed=1).delta)


def test_fine_tuning_works_on_a_copy(data):
    torch.manual_seed(0)
    net, few = ap.prior.TinyCNN().eval(), labels.pick(data.train, 10)
    before = state(net)
    tuned = labels.fine_tune(net, few, steps=60, lr=3e-3, seed=2)
    assert same(before, net.state_dict()) and not tuned.training
    assert ap.accuracy(tuned, few) > 0.7 > 0.3 > ap.accuracy(net, few)
    again = labels.fine_tune(net, few, steps=60, lr=3e-3, seed=2)
    assert same(tuned.state_dict(), again.state_dict())


# ---- no label

def test_batch_normalization_is_estimated_on_the_thief_s_images(data):
    net, images = ap.ResNet20().eval(), data.test.images[:60]
    before = state(net)
    opened = thieves.renormalize(net, images)
    first = net.conv(net.normalize(images))
    assert torch.allclose(opened.bn.running_mean, first.mean(dim=(0, 2, 3)), atol=1e-5)
    assert torch.allclose(opened.bn.running_var, first.var(dim=(0, 2, 3)), rtol=1e-3)
    assert same(before, net.state_dict()) and not any(part.training for part in opened.modules())
    processed = images + 0.2  # an owner's may leave [0, 1]
    own = thieves.renormalize(net, processed)
    expected = net.conv(net.normalize(processed)).mean(dim=(0, 2, 3))
    assert torch.allclose(own.bn.running_mean, expected, atol=1e-5)
    with pytest.raises(ValueError, match="no batch normalization"):
        thieves.renormalize(ap.SimpleCNN(), images)
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        thieves.renormalize(net, images, batch_size=0)


def test_a_saturated_lock_opens_at_a_temperature_only():
    split, settings = quarters(), {"steps": 60, "tries": 1, "batch_size": 50, "sigma": 0.05}
    sure = Bright(sharp=1000.0).eval()
    both = thieves.strong_climb(sure, split.images, (1, 100), **settings)
    cold, hot = ap.access(sure, split, both).accuracies
    assert cold < 0.35 and hot > 0.95 and both.picked == 1
    with pytest.raises(ValueError, match="temperature must be"):
        thieves.strong_climb(sure, split.images, (1, 0), **settings | {"steps": 10**9})  # at once


def test_a_saturated_lock_opens_where_its_logits_are_brought_to_one_spread():
    split, settings = quarters(), {"steps": 60, "tries": 1, "batch_size": 50, "sigma": 0.05}
    reached = []
    for sharp in (1000.0, 1e6):
        sure = Bright(sharp=sharp).eval()
        level = thieves.Level(sure).eval()
        logits = level(split.images)
        assert abs(logits.std(dim=1).mean() - 2) < 1e-4
        assert torch.equal(logits.argmax(dim=1), sure(split.images).argmax(dim=1))
        half = thieves.Level(sure, spread=1.0)(split.images)
        assert torch.allclose(half * 2, logits, atol=1e-4)
        guesses = ap.attacks.climb(level, split.images, **settings)
        reached.append(ap.accuracy(sure, split, guesses.transforms[guesses.picked]))
    assert min(reached) > 0.95 and abs(reached[0] - reached[1]) < 0.02  # however sure it is
    with pytest.raises(ValueError, match="spread must be"):
        thieves.Level(sure, 0)


def test_the_whole_theft_trains_on_the_labels_that_the_opened_network_gives(data):
    net = ap.experiments.prior.prior_network("plain", 0)
    student, images = ap.prior.TinyCNN(), data.train.images[:600]
    opened = ap.Identity()
    given, stolen = thieves.whole_theft(net, images, student, opened, epochs=4, lr=3e-3,
                                        progress=False, precision="float32")
    assert torch.equal(given, ap.predict(net, images).argmax(dim=1))
    assert stolen is student and ap.accuracy(stolen, data.test[:500]) > 0.5


# ---- targets

def test_unlikelihood_is_the_logarithm_and_keeps_its_gradient():
    logits = torch.randn(6, 5, dtype=torch.float64)
    answers = torch.tensor([0, 1, 2, 3, 4, 0])
    q = logits.softmax(dim=1).gather(1, answers[:, None])[:, 0]
    assert torch.allclose(mended.unlikelihood(logits, answers), -(1 - q).log().mean())
    sure = torch.tensor([[60.0, 0.0, 0.0]], requires_grad=True)  # 1 − q is 0 in float32
    loss = mended.unlikelihood(sure, torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(60 - math.log(2), rel=1e-5)
    assert sure.grad[0, 0].item() == pytest.approx(1.0)
    other = sure.detach().clone().requires_grad_(True)
    mended.probability(other, torch.tensor([0])).backward()
    assert other.grad.abs().max() < 1e-20


def test_uniform_and_permuted_say_what_they_reward():
    even, answers = torch.zeros(3, 4), torch.tensor([0, 1, 3])
    assert mended.uniform(even, answers).item() == pytest.approx(math.log(4))
    assert mended.uniform(torch.randn(3, 4), answers) > math.log(4)
    turned = F.one_hot(torch.tensor([1, 2, 0]), 4) * 50.0
    assert mended.permuted(turned, answers).item() < 1e-6


def test_with_the_source_s_target_and_raw_images_it_is_the_source_s_lock(data):
    logits, raw = torch.randn(8, 10), torch.randn(8, 10)
    answers, change = torch.arange(8), torch.randn(8, 1, 4, 4)
    ours = mended.MendedLoss("probability", 1.0, 2.0, 0.1)(logits, raw, answers, change)
    assert torch.equal(torch.stack(ours), torch.stack(
        ap.AntiPiracyLoss(1.0, 2.0, 0.1)(logits, raw, answers, change)))
    nets = []
    for mend in (False, True):
        torch.manual_seed(0)
        net, key = ap.prior.TinyCNN(), ap.Fixed((1, 28, 28), 0.1, 0.2, seed=0)
        settings = {"epochs": 1, "seed": 3, "progress": False, "precision": "float32"}
        splits = data.train[:500], data.validation[:100]
        if mend:
            mended.fit_mended(net, *splits, key, mended.MendedLoss("probability", 1, 2),
                              ("raw",), **settings)
        else:
            ap.fit(net, *splits, transform=key, loss=ap.AntiPiracyLoss(1, 2), **settings)
        nets.append(state(net))
    assert same(*nets)


def test_each_kind_of_negative_counts_once():
    logits, wrong = torch.randn(4, 3), torch.randn(8, 3)
    answers, change = torch.tensor([0, 1, 2, 0]), torch.zeros(4, 1, 2, 2)
    both = mended.MendedLoss()(logits, wrong, answers, change).raw
    each = [mended.unlikelihood(part, answers) for part in wrong.split(4)]
    assert both.item() == pytest.approx(sum(each).item(), rel=1e-6)


# ---- negatives

class Running:
    """What a negative sees of a training run."""

    def __init__(self, transform, net=None):
        self.transform, self.logits = transform, net


def test_wrong_keys_are_fresh_and_up_to_three_times_as_strong():
    torch.manual_seed(0)
    key = ap.Fixed((1, 28, 28), 0.1, 0.2, seed=0)
    images = torch.rand(400, 1, 28, 28)
    change = mended.wrong_keys(images, key(images), Running(key)) - images
    size = change.abs().amax(dim=(1, 2, 3))
    owner = (key.key.square().mean() / 0.4).sqrt()  # σ from the root mean square
    assert size.max() <= 3 * owner + 1e-5 and size.max() > 2.8 * owner and size.min() < 0.2 * owner
    assert 0.38 < (change.abs() > 1e-6).float().mean() < 0.42
    assert abs(change.sign().mean()) < 0.01
    assert not torch.equal(change[0].sign(), change[1].sign())


def test_shifts_parts_and_the_mirrored_key():
    torch.manual_seed(0)
    key, images = ap.Fixed((1, 8, 8), 0.1, 0.4, seed=0), torch.rand(300, 1, 8, 8)
    processed = key(images)
    moved = mended.shifts(images, processed, Running(key)) - images
    assert torch.allclose(moved.amax(dim=(1, 2, 3)), moved.amin(dim=(1, 2, 3)), atol=1e-6)
    assert moved.min() < -0.19 and moved.max() > 0.19 and moved.abs().max() <= 0.2 + 1e-6
    part = mended.parts(images, processed, Running(key)) - images
    kept = part.abs() > 1e-6
    assert torch.allclose(part[kept], (processed - images)[kept], atol=1e-6)
    assert 0.37 < kept.float().mean() / (key.key != 0).float().mean() < 0.63
    turned = mended.mirrored(images, processed, Running(key)) - images
    assert torch.allclose(turned, (processed - images).flip(2), atol=1e-6)


def test_the_thief_inside_training_climbs_and_leaves_no_gradient_behind():
    torch.manual_seed(0)
    net, split = Bright(), quarters()
    run = Running(None, net)
    thief = mended.Climbing(temperatures=(1,), patience=30, lr=0.03, sigma=0.05)
    scores = [ap.attacks.decisiveness(net(thief(split.images, None, run)).detach())
              for _ in range(30)]
    assert scores[-1] > scores[0] + 1 and net.weight.grad is None
    kept = thief.delta.detach().clone()
    thief(split.images, None, run)  # begins anew
    assert (thief.delta - kept).abs().max() > 0.05


@pytest.mark.parametrize("settings, message", [
    ({"patience": 0}, "patience must be a whole number, 1 or more"),
    ({"temperatures": ()}, "the number of temperatures must be a whole number, 1 or more, got 0"),
    ({"temperatures": (1, 0)}, "temperature must be a finite number above 0"),
    ({"lr": 0}, "lr must be a finite number above 0"),
    ({"sigma": -1}, "sigma must be a finite number above 0")])
def test_a_thief_inside_training_that_cannot_climb_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        mended.Climbing(**settings)


def test_negatives_that_are_unknown_or_missing_are_refused(data):
    net, key = ap.prior.TinyCNN(), ap.Fixed((1, 28, 28), 0.1, 0.2, seed=0)
    for negatives, message in ((("keys",), "unknown negative 'keys'"), ((), "at least one")):
        with pytest.raises(ValueError, match=message):
            mended.fit_mended(net, data.train[:50], data.validation[:50], key,
                              negatives=negatives, epochs=1, progress=False)
    with pytest.raises(ValueError, match="unknown target"):
        mended.MendedLoss("likelihood")


# ---- records

SMALL = {"STRONG": {"steps": 2, "lr": 0.03, "batch_size": 20, "sigma": 0.1, "tries": 1},
         "PATIENT": {"steps": 2, "lr": 0.03, "batch_size": 20, "sigma": 0.1, "tries": 1},
         "CLIMB": {"steps": 1, "lr": 0.01, "batch_size": 20, "sigma": 0.03, "tries": 1},
         "LONG": {"steps": 2, "lr": 0.01, "batch_size": 20, "sigma": 0.03, "tries": 1},
         "LEVEL": {"steps": 2, "lr": 0.01, "batch_size": 20, "sigma": 0.03, "tries": 1},
         "KEY": {"steps": 2, "lr": 0.03, "batch_size": 20, "sigma": 0.03},
         "TUNE": {"steps": 2, "lr": 3e-4, "batch_size": 8},
         "SCRATCH": {"steps": 2, "lr": 1e-3, "batch_size": 8},
         "IMAGES": 40, "DRAWS": 1, "LABELS": (1,), "LOOT": 60, "STUDENT": {"epochs": 1, "lr": 1e-3}}


@pytest.fixture
def small(monkeypatch, data):
    """The workshop in seconds: few images, few steps."""
    less = dataclasses.replace(data, train=data.train[:300], validation=data.validation[:60],
                               test=data.test[:60])
    monkeypatch.setattr(loaders, "load", lambda *args, **options: less)
    for name, value in SMALL.items():
        monkeypatch.setattr(tried, name, value)
    monkeypatch.setattr(locks, "COUNTS", (1,))
    recipe = locks.recipe_of
    monkeypatch.setattr(locks, "recipe_of", lambda name: dataclasses.replace(recipe(name),
                                                                            epochs=1))


def test_a_lock_is_recorded_stored_as_measured_and_read_again(small, tmp_path, capsys):
    place = store.Place("unlikelihood-keys", "fashion_mnist", "mini", "resnet20", "fixed", 0)
    record = beyond.run_lock(place, tmp_path, "cpu")
    found = store.read(place, tmp_path)
    assert found == record and found["asked"]["settings"]["negatives"] == ["raw", "wrong keys"]
    assert set(found["came_out"]["thieves"]["no_labels"]) >= {
        "brightness", "keys", "keys_double", "climb", "strong_climb", "patient_climb",
        "renormalize"}
    assert locks.as_recorded(place, tmp_path) and "60 correct" in capsys.readouterr().out
    net, key = locks.network_at(place, tmp_path)
    half = {name: tensor for name, tensor in net.state_dict().items()
            if tensor.is_floating_point()}
    assert all(torch.equal(tensor, tensor.half().float()) for tensor in half.values())
    file = store.path(place, tmp_path, "safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(RecordError, match="altered or truncated"):
        store.tensors(place, tmp_path)
    other = store.path(place._replace(seed=1), tmp_path)
    store.path(place, tmp_path).rename(other)
    with pytest.raises(RecordError, match="in the wrong place"):
        store.read(place._replace(seed=1), tmp_path)


def test_a_lock_can_be_measured_without_its_thieves(small, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "every_thief", None)  # calling it would fail
    run = ["beyond", "fashion_mnist", "simple_cnn", "fixed", "--train-only", "--folder",
           str(tmp_path), "--device", "cpu"]
    assert main([*run, "--what", "unlikelihood"]) == 0
    place = store.Place("unlikelihood", "fashion_mnist", "mini", "simple_cnn", "fixed", 0)
    record = store.read(place, tmp_path)
    assert "thieves" not in record["came_out"] and "authorized" in record["came_out"]["test"]
    assert record["asked"]["settings"]["thieves"] is None
    assert main([*run[:4], *run[5:], "--what", "renormalized", "--lock", "unlikelihood",
                 "--weights", str(tmp_path)]) == 0  # thieves who come later find its network
    attacked = store.read(place._replace(what="renormalized"), tmp_path / "unlikelihood")
    net, _ = locks.network_at(place, tmp_path)
    raw = ap.accuracy(net, loaders.load("fashion_mnist").test)
    assert abs(attacked["came_out"]["raw"] - raw) < 1e-6  # without statistics to renew
    assert attacked["asked"]["settings"]["network_record_sha256"] == record["sha256"]
    assert main(run) == 1  # of what is no lock, only its thieves can be tried


def test_every_thief_is_recorded_and_the_controls_too(small, tmp_path):
    for transform, part in (("fixed", "theft"), ("baseline", "plain")):
        place = store.Place("thieves", "fashion_mnist", "mini", "resnet20", transform, 0)
        came_out = beyond.run_thieves(place, tmp_path, "cpu")["came_out"]
        assert part in came_out and list(came_out["labels"]) == ["1"]
    assert set(came_out["labels"]["1"]) == {
        "plain_features", "plain_logits", "pixels", "untrained_features", "from_scratch",
        "plain_fine_tune"}


def test_thieves_try_the_network_of_another_folder_too(small, tmp_path, capsys):
    others = ap.experiments.sweep_folder("sigma", 0.1)
    name = ap.experiments.checked_name("fashion_mnist", "resnet20", "fixed", "full", 0)
    run = ["beyond", "fashion_mnist", "resnet20", "fixed", "--size", "full", "--weights",
           str(others), "--folder", str(tmp_path), "--device", "cpu"]
    assert main(run) == 0
    place = store.Place("thieves", "fashion_mnist", "full", "resnet20", "fixed", 0)
    settings = store.read(place, tmp_path)["asked"]["settings"]
    assert settings["network_record_sha256"] == ap.experiments.Archive(others).read(name)["sha256"]
    assert settings["network_record_sha256"] != ap.experiments.SHIPPED.read(name)["sha256"]
    assert main([*run, "--what", "unlikelihood"]) == 1  # it would train a network of its own
    assert "a lock is trained anew" in capsys.readouterr().err
    assert main(run) == 0 and "recorded already" in capsys.readouterr().out
    run.remove("--weights"), run.remove(str(others))
    assert main(run) == 1 and "another network of this name" in capsys.readouterr().err


def test_thieves_who_renew_batch_normalization_first_are_recorded(small, tmp_path, capsys):
    run = ["beyond", "fashion_mnist", "resnet20", "--what", "renormalized", "--folder",
           str(tmp_path), "--device", "cpu"]
    assert main([*run[:3], "fixed", *run[3:]]) == 0
    place = store.Place("renormalized", "fashion_mnist", "mini", "resnet20", "fixed", 0)
    found = store.read(place, tmp_path)
    raw = found["came_out"]["raw"]
    net, _, _ = ap.pretrained("fashion_mnist", "resnet20", "fixed", "mini", 0)
    sets = loaders.load("fashion_mnist")
    opened = thieves.renormalize(net, sets.validation.images[:tried.IMAGES])
    assert abs(raw - ap.accuracy(opened, sets.test)) < 1e-6
    assert list(found["came_out"]["labels"]) == ["1", "10"]
    assert found["asked"]["settings"]["labels"] == [1, 10]
    assert 0 <= found["came_out"]["picked"] < len(found["came_out"]["scores"])
    assert main([*run[:3], "baseline", *run[3:]]) == 1  # it has no lock
    with pytest.raises(ValueError, match="a baseline and has no lock"):
        beyond.run_thieves(place._replace(transform="baseline"), tmp_path, "cpu")
    lock = [*run[:3], "fixed", *run[3:], "--lock", "unlikelihood-keys"]
    assert main(lock) == 0
    mended_one = store.read(place, tmp_path / "unlikelihood-keys")
    locked, _ = beyond.mended_network("unlikelihood-keys")
    opened = thieves.renormalize(locked, sets.validation.images[:tried.IMAGES])
    assert abs(mended_one["came_out"]["raw"] - ap.accuracy(opened, sets.test)) < 1e-6
    assert mended_one["asked"]["settings"]["network_record_sha256"] == store.read(
        place._replace(what="unlikelihood-keys"))["sha256"]
    assert {"strong_climb", "long_climb", "level_climb"} <= set(mended_one["came_out"])  # shut
    assert {"strong", "long", "level"} <= set(mended_one["asked"]["settings"])
    images = sets.validation.images[:tried.IMAGES]
    level = ap.attacks.climb(thieves.Level(opened), images, seed=0, **tried.LEVEL)
    judged = ap.attacks.candidates(opened, images, level.transforms).scores  # as other climbs are
    assert mended_one["came_out"]["level_climb"]["scores"] == pytest.approx(judged, abs=1e-6)
    assert judged != pytest.approx(level.scores, abs=1e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tried, "SHUT", 0)  # open enough
        opened = tried.renormalized(locked, sets, 0, False, strong=True)
    assert "strong_climb" in opened and not {"long_climb", "level_climb"} & set(opened)
    assert main(lock) == 0 and "recorded already" in capsys.readouterr().out
    assert main([*lock, "--what", "thieves"]) == 1  # the others are recorded with the lock
    own = tmp_path / "own"  # a lock of the same name that was trained here
    assert main([*run[:3], "fixed", "--what", "unlikelihood-keys", "--train-only",
                 "--folder", str(own), "--device", "cpu"]) == 0
    assert main([*lock, "--weights", str(own)]) == 1
    assert "another network of this name" in capsys.readouterr().err
    assert main([*lock, "--weights", str(own), "--folder", str(own), "--usual-climb"]) == 0
    tried_anew = store.read(place, own / "unlikelihood-keys")
    settings = tried_anew["asked"]["settings"]
    assert "long" not in settings and "strong_climb" not in tried_anew["came_out"]
    assert main([*run[:3], "fixed", *run[3:], "--usual-climb"]) == 1  # no strong one to leave out
    assert "--usual-climb goes with --lock" in capsys.readouterr().err
    assert settings["network_record_sha256"] == store.read(
        place._replace(what="unlikelihood-keys"), own)["sha256"]


def test_what_is_shipped_is_whole():
    for size, network in (("mini", "resnet20"), ("mini", "simple_cnn")):
        found = beyond.locks(network, size)
        assert list(found) == list(beyond.LOCKS)
        assert all([r["asked"]["seed"] for r in each] == [0, 1, 2] for each in found.values())
    for transform in ("baseline", "fixed", "learned", "generator"):
        for size in ("mini", "full"):
            assert len(beyond.seeds("thieves", transform, size=size)) == 3
    assert len(beyond.seeds("thieves", "fixed-clipped")) == 3
    assert len(beyond.seeds("thieves", "fixed-clipped", size="full")) == 1  # its weights are stored
    for transform in ("baseline", "fixed", "learned", "generator"):  # and those of the photographs
        assert len(beyond.seeds("thieves", transform, size="full", dataset="cifar10_jpeg")) == 1
    for transform in ("fixed", "learned", "generator"):
        for size in ("mini", "full"):
            assert len(beyond.seeds("renormalized", transform, size=size)) == 3
        assert len(beyond.seeds("renormalized", transform, size="full",
                                dataset="cifar10_jpeg")) == 1
    assert len(beyond.seeds("renormalized", "fixed-clipped")) == 3
    assert len(beyond.seeds("renormalized", "fixed-clipped", size="full")) == 1
    assert len(beyond.seeds("renormalized", size="full", folder=RENEWED)) == 3
    for place in (*store.BEYOND.glob("[!l]*/**/*.json"),):
        how = ap.experiments.read_record(place)["how"]
        own = any(name in str(place) for name in ("fixed-clipped", "cifar10_jpeg", "renormalized",
                                                  "sigma=", "p=", "retrained"))
        device = "cpu" if own else "NVIDIA H200"
        assert len(how["commit"]) == 40 and how["device"] == device
    with pytest.raises(RecordError, match="beyond --help"):
        beyond.seeds("uniform", "generator")


SHIPPED_THIEVES = (
    *(("thieves", "fashion_mnist", kind, "full") for kind in ("fixed", "learned", "generator",
                                                              "baseline")),
    *(("thieves", "cifar10_jpeg", kind, "full") for kind in ("fixed", "learned", "generator",
                                                             "baseline")),
    ("thieves", "fashion_mnist", "fixed-clipped", "mini"),
    ("thieves", "fashion_mnist", "fixed-clipped", "full"),
    *(("renormalized", dataset, kind, size) for dataset, size in (
        ("fashion_mnist", "full"), ("fashion_mnist", "mini"), ("cifar10_jpeg", "full"))
      for kind in ("fixed", "learned", "generator")),
    ("renormalized", "fashion_mnist", "fixed-clipped", "mini"),
    ("renormalized", "fashion_mnist", "fixed-clipped", "full"))
RENEWED = store.BEYOND / "unlikelihood-keys"  # thieves who renew batch normalization, on this lock


SWEPT = (("sigma", 0.1, "fixed"), ("p", 0.2, "fixed"), ("p", 0.2, "fixed-clipped"))


@pytest.mark.parametrize("setting, value, transform", SWEPT)
def test_thieves_of_a_sweep_name_the_record_of_the_network_that_is_shipped(setting, value,
                                                                           transform):
    folder = ap.experiments.sweep_folder(setting, value)
    name = ap.experiments.checked_name("fashion_mnist", "resnet20", transform, "full", 0)
    trained = ap.experiments.Archive(folder).read(name)
    assert trained["asked"]["recipe"][setting] == value
    for what in beyond.THIEVES:
        record, = beyond.seeds(what, transform, size="full", folder=store.BEYOND / folder.name)
        assert record["asked"]["settings"]["network_record_sha256"] == trained["sha256"]


@pytest.mark.parametrize("what, dataset, transform, size", SHIPPED_THIEVES)
def test_shipped_thieves_name_the_record_of_the_network_that_is_shipped(what, dataset, transform,
                                                                        size):
    for record in beyond.seeds(what, transform, size=size, dataset=dataset):
        name = ap.experiments.checked_name(dataset, "resnet20", transform, size,
                                           record["asked"]["seed"])
        trained = ap.experiments.SHIPPED.read(name)
        assert record["asked"]["settings"]["network_record_sha256"] == trained["sha256"]


def test_thieves_of_a_lock_name_the_record_of_the_lock_that_is_shipped():
    for size, count in (("full", 3), ("mini", 3)):
        renewed = beyond.seeds("renormalized", size=size, folder=RENEWED)
        assert len(renewed) == count
        for record, lock in zip(renewed, beyond.seeds("unlikelihood-keys", size=size)[:count],
                                strict=True):
            assert record["asked"]["settings"]["network_record_sha256"] == lock["sha256"]


# Locks of which three networks were trained again, and the seeds whose networks are stored.
AGAIN = (("unlikelihood-mixed", "mini", "resnet20", {0, 1, 2}),
         ("unlikelihood-climbing", "mini", "resnet20", {0, 1, 2}),
         ("uniform-climbing", "mini", "resnet20", {1, 2}),
         ("unlikelihood-mixed", "full", "resnet20", {0}),
         ("unlikelihood", "full", "resnet20", set()),
         *((lock, "mini", "resnet20", set())
           for lock in ("source-keys", "unlikelihood", "uniform", "permuted", "uniform-mixed")),
         *((lock, "mini", "simple_cnn", set())
           for lock in ("unlikelihood-mixed", "unlikelihood-climbing")))


@pytest.mark.parametrize("lock, size, network, stored", AGAIN)
def test_a_lock_was_trained_again_by_its_recipe_and_thieves_name_its_record(lock, size, network,
                                                                            stored):
    trained = beyond.seeds(lock, "fixed", network, size, folder=beyond.RETRAINED)
    renewed = beyond.seeds("renormalized", "fixed", network, size, folder=beyond.RETRAINED / lock)
    assert len(trained) == 3
    for record, again in zip(renewed, trained, strict=True):
        settings, seed = again["asked"]["settings"], again["asked"]["seed"]
        first = beyond.seeds(lock, "fixed", network, size)[seed]["asked"]["settings"]
        assert record["asked"]["settings"]["network_record_sha256"] == again["sha256"]
        assert all(settings[name] == first[name]
                   for name in ("recipe", "target", "negatives", "beta", "transform"))
        place = store.Place(lock, "fashion_mnist", size, network, "fixed", seed)
        assert (place in store.places(beyond.RETRAINED)) == (seed in stored)


def test_no_other_lock_was_trained_again_and_one_measures_as_recorded(capsys):
    found = {tuple(file.relative_to(beyond.RETRAINED).parts[:3])
             for file in beyond.RETRAINED.glob("*/fashion_mnist-*/**/*.json")}
    assert found == {(lock, f"fashion_mnist-{size}", network)
                     for lock, size, network, _ in AGAIN}
    places = store.places(beyond.RETRAINED)
    assert len(places) == 9 and locks.as_recorded(places[0], beyond.RETRAINED)
    assert "differs" not in capsys.readouterr().out


def test_a_shipped_lock_measures_as_recorded(capsys):
    place = store.Place("unlikelihood-keys", "fashion_mnist", "full", "resnet20", "fixed", 0)
    assert place in store.places() and len(store.places()) == 6
    assert locks.as_recorded(place) and "differs" not in capsys.readouterr().out
