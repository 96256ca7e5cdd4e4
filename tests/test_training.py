"""Training on toys: against an ordinary loop, stopped and resumed, and what it must leave alone."""

import contextlib
import copy
import dataclasses
import inspect
import json
import random
import shutil
import threading
import time
import types
import zipfile

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from toys import (
    OWNERS,
    QUIET,
    Blind,
    Devices,
    Learnable,
    TinyCNN,
    Watched,
    cross_entropy,
    max_norm,
    same,
    squared_norm,
    state_of,
    toy_linear,
    toy_split,
    true_probability,
)
from tqdm import tqdm

import apdnn_lite as ap
from apdnn_lite import _checkpoint, _graph, _machine, training
from apdnn_lite._settings import checked, made_of, must, setting
from apdnn_lite.training import Settings, TrainingError

TRAIN, VALIDATION = toy_split(64, seed=1), toy_split(32, seed=2)


def key():
    return ap.Fixed((1, 8, 8), 0.1, 0.2, seed=5)


def made(make, seed=0):
    torch.manual_seed(seed)
    return make()


def small_cnn():
    return ap.SimpleCNN(image_size=8)


# ---- what fit is given and what it gives back

def test_fit_has_no_parameter_for_a_test_split():
    parameters = list(inspect.signature(ap.fit).parameters)
    assert parameters[:3] == ["net", "train", "validation"]
    assert not [name for name in parameters if "test" in name or "data" in name]


@pytest.mark.parametrize(
    "make_transform, train_columns, validation_columns",
    [
        (lambda: None, ["loss"], ["accuracy"]),
        (key, ["loss", "E_p", "E_r", "size"], ["authorized", "unauthorized"]),
        (
            lambda: ap.Learned((1, 8, 8), seed=0),
            ["loss", "E_p", "E_r", "size"],
            ["authorized", "unauthorized"],
        ),
        (
            lambda: ap.Generator(1, 3, seed=0),
            ["loss", "E_p", "E_r", "size"],
            ["authorized", "unauthorized"],
        ),
    ],
    ids=["plain", "fixed", "learned", "generator"],
)
def test_history_has_a_row_for_each_epoch_and_ends_with_what_access_finds(
    make_transform, train_columns, validation_columns
):
    net, transform = TinyCNN(), make_transform()
    history = ap.fit(net, TRAIN, VALIDATION, transform=transform, epochs=3, **QUIET)
    assert len(history.epochs) == 3 and not history.interrupted
    assert all(list(epoch) == train_columns + validation_columns for epoch in history.epochs)
    json.dumps(history.epochs, allow_nan=False)  # plain numbers, as records need
    last = history.epochs[-1]
    if transform is None:
        assert last["accuracy"] == ap.accuracy(net, VALIDATION)
    else:
        assert ap.Access(last["authorized"], last["unauthorized"], 32) == ap.access(
            net, VALIDATION, transform
        )
    assert history["loss"] == [epoch["loss"] for epoch in history.epochs]
    assert "3 epochs; on the validation split: " + validation_columns[0] in str(history)
    assert str(ap.History()) == "no epoch finished"


def test_the_network_is_left_in_evaluation_mode():
    net = TinyCNN().train()
    ap.fit(net, TRAIN, VALIDATION, epochs=1, **QUIET)
    assert not net.training and not net.bn.training


def test_a_transform_is_left_in_evaluation_mode_too():
    net, transform = TinyCNN(), Learnable().train()
    ap.fit(net, TRAIN, VALIDATION, transform=transform, epochs=1, **QUIET)
    assert not net.training and not transform.training


def test_the_loss_falls():
    net = made(small_cnn)
    history = ap.fit(
        net, TRAIN, VALIDATION, transform=key(), epochs=20, batch_size=16, lr=3e-3, **QUIET
    )
    assert history["loss"][-1] < 0.7 * history["loss"][0]


@pytest.mark.parametrize("batch_size", [64, 24])
def test_the_reported_terms_are_means_over_all_images(batch_size):
    """24 does not divide 64: the last batch is smaller, and counts less."""
    net, transform = toy_linear(), Learnable()
    history = ap.fit(
        net,
        TRAIN,
        VALIDATION,
        transform=transform,
        loss=ap.AntiPiracyLoss(1, 2, 0.5),
        epochs=1,
        lr=1e-12,
        batch_size=batch_size,
        **QUIET,
    )
    x, labels = TRAIN.images.numpy().astype(float), TRAIN.labels
    weight, bias = net.weight.detach().numpy(), net.bias.detach().numpy()
    logits = lambda images: images.reshape(64, -1) @ weight.T + bias  # noqa: E731
    expected = (
        cross_entropy(logits(x + 0.1), labels),
        true_probability(logits(x), labels),
        squared_norm(0 * x + 0.1),
    )
    row = history.epochs[0]
    assert [row["E_p"], row["E_r"], row["size"]] == pytest.approx(expected, rel=1e-5)
    assert row["loss"] == pytest.approx(np.dot((1, 2, 0.5), expected), rel=1e-5)


# ---- the loop itself

def test_long_gradients_of_the_transform_are_shortened_and_no_others():
    def gradients(max_norm):
        net, owner = made(small_cnn), Learnable()
        ap.fit(
            net,
            TRAIN,
            VALIDATION,
            transform=owner,
            loss=ap.AntiPiracyLoss(1, 2, 5),
            epochs=1,
            batch_size=64,
            lr=1e-3,
            optimizer="sgd",
            transform_max_norm=max_norm,
            **QUIET,
        )
        return owner.delta.grad.clone(), [parameter.grad.clone() for parameter in net.parameters()]

    (free, of_net), (short, of_same_net), (as_it_is, _) = (
        gradients(None),
        gradients(0.01),
        gradients(1e6),
    )
    assert short.norm() == pytest.approx(0.01, rel=1e-3) and free.norm() > 0.1
    assert torch.allclose(short / short.norm(), free / free.norm(), atol=1e-5), (
        "its direction stays"
    )
    assert all(map(torch.equal, of_net, of_same_net)) and torch.equal(as_it_is, free)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("learnable", [False, True], ids=["plain", "learnable"])
def test_fit_does_what_an_ordinary_loop_does(optimizer, learnable):
    """Whole-set batches, so that their order plays no part.

    Optimizers, memory layout and loss are ordinary.
    """
    train = toy_split(32, channels=3, seed=3)
    net = made(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(80, 10)
        )
    )
    owner = Learnable((3, 8, 8)) if learnable else None
    ours, ours_owner = copy.deepcopy(net), copy.deepcopy(owner)
    ap.fit(
        ours,
        train,
        VALIDATION_RGB,
        transform=ours_owner,
        loss=owner and ap.AntiPiracyLoss(1, 2, 0.1),
        epochs=5,
        batch_size=32,
        lr=0.01,
        optimizer=optimizer,
        weight_decay=0.1,
        **QUIET,
    )

    groups = [{"params": net.parameters(), "weight_decay": 0.1}]
    if owner is not None:
        groups.append({"params": owner.parameters(), "weight_decay": 0})
    plain = (torch.optim.AdamW(groups, 0.01, foreach=False, fused=False) if optimizer == "adam"
             else torch.optim.SGD(groups, 0.01, momentum=0.9, nesterov=True, foreach=False))
    schedule = torch.optim.lr_scheduler.OneCycleLR(plain, 0.01, 5)
    for _ in range(5):
        x, labels = train.images, train.labels
        if owner is None:
            loss = nn.functional.cross_entropy(net(x), labels)
        else:
            loss = (
                nn.functional.cross_entropy(net(owner(x)), labels)
                + 2 * net(x).softmax(1)[torch.arange(32), labels].mean()
                + 0.1 * owner.delta.square().sum()
            )
        plain.zero_grad()
        loss.backward()
        plain.step()
        schedule.step()
    for module, expected in ((ours, net), (ours_owner, owner)):
        if module is not None:
            for name, tensor in state_of(module).items():
                torch.testing.assert_close(tensor, state_of(expected)[name], rtol=1e-3, atol=1e-5)


VALIDATION_RGB = toy_split(8, channels=3, seed=4)


def test_every_image_is_seen_once_an_epoch_in_a_new_order():
    net = Watched(toy_linear())
    numbered = ap.Split(
        torch.arange(64.0).reshape(64, 1, 1, 1).expand(64, 1, 8, 8) / 64,
        TRAIN.labels,
        TRAIN.indices,
    )
    ap.fit(net, numbered, VALIDATION, epochs=2, batch_size=24, **QUIET)
    assert [len(batch) for batch in net.batches] == [24, 24, 16] * 2
    seen = (torch.cat(net.batches)[:, 0, 0, 0] * 64).int().tolist()
    assert sorted(seen[:64]) == sorted(seen[64:]) == list(range(64))
    assert seen[:64] != seen[64:] and seen[:64] != list(range(64))


def test_one_pass_of_processed_and_raw_together():
    net, transform = Watched(TinyCNN()), key()
    ap.fit(net, TRAIN, VALIDATION, transform=transform, epochs=2, batch_size=24, **QUIET)
    assert [len(batch) for batch in net.batches] == [48, 48, 32] * 2
    for batch in net.batches:
        processed, raw = batch.chunk(2)
        assert torch.equal(processed, transform(raw))
        assert all(any(torch.equal(image, other) for other in TRAIN.images) for image in raw[:3])


def test_a_learnable_transform_is_trained_and_a_fixed_one_is_not():
    learned, fixed = Learnable(), key()
    before = fixed.key.clone()
    for transform in (learned, fixed):
        ap.fit(TinyCNN(), TRAIN, VALIDATION, transform=transform, epochs=2, batch_size=8, **QUIET)
    assert not torch.allclose(learned.delta.detach(), torch.tensor(0.1))
    assert torch.equal(fixed.key, before)


def test_a_transform_has_an_optimizer_group_of_its_own_without_weight_decay(monkeypatch):
    seen, sgd = [], training.OPTIMIZERS["sgd"]
    monkeypatch.setitem(
        training.OPTIMIZERS, "sgd", lambda groups, lr: seen.append(groups) or sgd(groups, lr)
    )
    net, transform = TinyCNN(), Learnable()
    ap.fit(
        net,
        TRAIN,
        VALIDATION,
        transform=transform,
        epochs=1,
        optimizer="sgd",
        weight_decay=0.3,
        **QUIET,
    )
    ap.fit(
        net,
        TRAIN,
        VALIDATION,
        transform=key(),
        epochs=1,
        optimizer="sgd",
        weight_decay=0.3,
        **QUIET,
    )
    (of_net, of_transform), without_parameters = seen
    assert of_net["weight_decay"] == 0.3 and set(map(id, of_net["params"])) == set(
        map(id, net.parameters())
    )
    assert of_transform["weight_decay"] == 0 and of_transform["params"][0] is transform.delta
    assert len(without_parameters) == 1


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_weight_decay_shrinks_the_network_only(optimizer):
    net, transform = Blind(), Learnable()
    ap.fit(
        net,
        TRAIN,
        VALIDATION,
        transform=transform,
        loss=ap.AntiPiracyLoss(1, 1, 0),
        epochs=2,
        lr=0.1,
        optimizer=optimizer,
        weight_decay=0.5,
        **QUIET,
    )
    assert net.weight.max() < 0.99
    assert torch.equal(transform.delta.detach(), torch.full((1, 8, 8), 0.1))


def test_images_stay_where_they_are_and_are_not_changed(monkeypatch):
    """On the CPU the resident images are the caller's tensor itself: no copy, no loader."""
    addresses, one_epoch = [], training.Run.one_epoch
    monkeypatch.setattr(
        training.Run,
        "one_epoch",
        lambda run, bar: addresses.append(run.images.data_ptr()) or one_epoch(run, bar),
    )
    before = TRAIN.images.clone()
    ap.fit(TinyCNN(), TRAIN, VALIDATION, transform=key(), augment=ap.Augment(1), epochs=2, **QUIET)
    assert addresses == [TRAIN.images.data_ptr()] * 2
    assert torch.equal(TRAIN.images, before)


def test_batches_are_channels_last():
    class Layout(TinyCNN):
        def forward(self, x):
            for tensor in (x, self.conv.weight) if self.training else ():
                assert tensor.is_contiguous(memory_format=torch.channels_last)
            return super().forward(x)
    net = Layout(3)
    train = toy_split(8, channels=3)
    ap.fit(net, train, train, epochs=1, **QUIET)
    ap.fit(net, train, train, transform=Learnable((3, 8, 8)), epochs=1, **QUIET)
    assert net.conv.weight.is_contiguous(), "its own layout is given back"


# ---- randomness

def test_the_seed_decides_everything():
    states = []
    for before, seed in enumerate((3, 3, 4)):
        net = made(small_cnn)  # with dropout
        torch.rand(before)  # what was drawn before plays no part
        ap.fit(
            net,
            TRAIN,
            VALIDATION,
            transform=key(),
            augment=ap.Augment(),
            epochs=1,
            batch_size=24,
            seed=seed,
            **QUIET,
        )
        states.append(state_of(net))
    assert same(states[0], states[1]) and not same(states[0], states[2])


def test_the_callers_randomness_is_left_alone():
    net = small_cnn()  # with dropout
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    ap.fit(net, TRAIN, VALIDATION, transform=key(), augment=ap.Augment(), epochs=1, seed=9, **QUIET)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1] and random.getstate() == before[2]


# ---- augmentation

def test_augment_moves_and_mirrors_as_numpy_does():
    images = toy_split(200, channels=3, side=5).images
    found = ap.Augment(crop=2, flip=True)(images, torch.Generator().manual_seed(0))
    ways = set()
    for image, result in zip(images.numpy(), found.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (2, 2), (2, 2)))
        matches = [
            (row, column, step)
            for row in range(5)
            for column in range(5)
            for step in (1, -1)
            if np.array_equal(padded[:, row : row + 5, column : column + 5][:, :, ::step], result)
        ]
        assert len(matches) == 1
        ways.update(matches)
    # 200 draws from 50 ways: fewer than 30 different ones happen with a probability below 1e-20.
    assert len(ways) > 30 and {row for row, _, _ in ways} == {
        column for _, column, _ in ways
    } == set(range(5))


def test_augment_without_moves_only_mirrors_and_without_either_changes_nothing():
    images = toy_split(60, side=5).images
    generator = torch.Generator().manual_seed(0)
    mirrored = ap.Augment(crop=0, flip=True)(images, generator)
    kinds = [
        (
            "as it was"
            if torch.equal(new, old)
            else "mirrored"
            if torch.equal(new, old.flip(-1))
            else "else"
        )
        for new, old in zip(mirrored, images, strict=True)
    ]
    assert set(kinds) == {"as it was", "mirrored"}  # one alone has a probability of 2^-59
    assert torch.equal(ap.Augment(crop=0, flip=False)(images, generator), images)


def test_augment_without_flip_never_mirrors():
    images = torch.zeros(50, 1, 9, 9)
    images[:, 0, 4, 4:7] = torch.tensor([1.0, 0.6, 0.3])  # falls from left to right
    moved = ap.Augment(crop=2, flip=False)(images, torch.Generator().manual_seed(0))
    assert all(row[row > 0].tolist() == pytest.approx([1.0, 0.6, 0.3]) for row in moved.flatten(1))


def test_augment_follows_its_generator_and_copies():
    images = toy_split(20).images
    before = images.clone()
    draw = lambda seed: ap.Augment()(images, torch.Generator().manual_seed(seed))  # noqa: E731
    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))
    assert torch.equal(images, before)


def test_augmentation_comes_before_the_transform():
    net, transform = Watched(TinyCNN()), key()
    ap.fit(
        net,
        TRAIN,
        VALIDATION,
        transform=transform,
        augment=ap.Augment(2),
        epochs=2,
        batch_size=32,
        **QUIET,
    )
    raws = []
    for batch in net.batches:
        processed, raw = batch.chunk(2)
        assert torch.equal(processed, raw + transform.key), "the key has moved"
        raws.append(raw)
    known = {image.numpy().tobytes() for image in TRAIN.images}
    assert any(image.contiguous().numpy().tobytes() not in known for image in torch.cat(raws)), (
        "nothing was augmented"
    )


# ---- stopping and going on

class StopAt:
    """Augments, and presses Ctrl-C (or fails) at its batch number ``at``."""

    def __init__(self, at=None, error=KeyboardInterrupt):
        self.at, self.error, self.batch = at, error, 0

    def __call__(self, images, generator):
        self.batch += 1
        if self.batch == self.at:
            raise self.error
        return ap.Augment(1)(images, generator)

    def __repr__(self):
        return "StopAt()"


def trained(
    make_net, make_transform, optimizer, checkpoint=None, stop=None, seed=0, precision="float32"
):
    """Three epochs of three batches, as (state of the network, state of the transform, history)."""
    net, transform = made(make_net), make_transform()
    history = ap.fit(
        net,
        TRAIN,
        VALIDATION,
        transform=transform,
        epochs=3,
        batch_size=24,
        lr=0.01,
        optimizer=optimizer,
        weight_decay=0.01,
        augment=stop or StopAt(),
        seed=seed,
        checkpoint=checkpoint,
        **QUIET | {"precision": precision},
    )
    return state_of(net), state_of(transform) if transform else {}, history


@pytest.mark.parametrize("make_net", [small_cnn, ap.ResNet20], ids=["SimpleCNN", "ResNet20"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("make_transform", [key, lambda: ap.Generator(1, 3, seed=2), lambda: None],
                         ids=["fixed", "generator", "plain"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_stopped_and_resumed_ends_bit_for_bit_as_without_the_stop(
    make_net, optimizer, make_transform, precision, tmp_path, capsys
):
    checkpoint = tmp_path / "new folder" / "run.safetensors"
    whole = trained(make_net, make_transform, optimizer, precision=precision)
    stopped = trained(
        make_net, make_transform, optimizer, checkpoint, StopAt(5), precision=precision
    )  # in the second epoch
    assert stopped[2].interrupted and len(stopped[2].epochs) == 1
    assert (
        f"The same call goes on after the last finished epoch, from {checkpoint}"
        in capsys.readouterr().out
    )
    resumed = trained(make_net, make_transform, optimizer, checkpoint, precision=precision)
    assert same(resumed[0], whole[0]) and same(resumed[1], whole[1])
    assert resumed[2].epochs == whole[2].epochs and not resumed[2].interrupted
    finished = trained(make_net, make_transform, optimizer, checkpoint, precision=precision)[
        2
    ]  # nothing is left to do
    assert finished.training_seconds > 0 and finished.images_per_second == pytest.approx(
        len(TRAIN) * len(finished.epochs) / finished.training_seconds
    ), "the speed is that of all epochs, not of the last call"


def test_the_selected_epoch_is_the_best_on_the_validation_split_and_survives_a_stop(
    tmp_path, monkeypatch
):
    # authorized less unauthorized: 0.3, 0.6, 0.4 and 0.6; of equals the first counts
    figures = [(0.5, 0.2), (0.6, 0.0), (0.9, 0.5), (0.7, 0.1)]
    weights = []

    def validate(run, validation):
        authorized, unauthorized = figures[len(run.history.epochs)]
        weights[len(run.history.epochs):] = [(state_of(run.net), state_of(run.transform))]
        return {"authorized": authorized, "unauthorized": unauthorized}

    monkeypatch.setattr(training.Run, "validate", validate)
    for stop in (None, StopAt(14)):  # in the fourth epoch, after the best
        options = dict(
            transform=None, loss=ap.AntiPiracyLoss(), epochs=4, batch_size=16, lr=0.01, **QUIET
        )
        checkpoint = None if stop is None else tmp_path / "run.safetensors"
        for augment in (stop, StopAt(10 ** 9)):
            net, owner = made(TinyCNN), made(Learnable)
            history = ap.fit(
                net,
                TRAIN,
                VALIDATION,
                **options | {"transform": owner, "augment": augment or StopAt(10**9)},
                checkpoint=checkpoint,
            )
        assert len(history.epochs) == 4 and history.selected == 1
        assert same(state_of(net), weights[3][0]), "fit leaves the weights of the last epoch"
        history.load_selected(net, owner)
        assert same(state_of(net), weights[1][0]) and same(state_of(owner), weights[1][1])


def test_of_a_plain_network_the_most_accurate_epoch_is_selected():
    assert training.History([{"accuracy": value} for value in (0.2, 0.8, 0.7)]).selected == 1
    with pytest.raises(ValueError, match="no epoch is finished"):
        _ = training.History().selected


def test_it_can_go_on_from_the_checkpoint_of_any_epoch(tmp_path, monkeypatch):
    kept, save = [], _checkpoint.Checkpoint.save

    def keep(saved):
        save(saved)
        kept.append(shutil.copy(saved.path, tmp_path / f"{len(kept)}.safetensors"))

    monkeypatch.setattr(_checkpoint.Checkpoint, "save", keep)
    whole = trained(small_cnn, key, "adam", tmp_path / "run.safetensors")
    assert len(kept) == 3
    for file in kept[:]:
        again = trained(small_cnn, key, "adam", file)
        assert same(again[0], whole[0]) and again[2].epochs == whole[2].epochs
    assert [path for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_any_other_error_leaves_the_last_checkpoint_too(tmp_path):
    checkpoint = tmp_path / "run.safetensors"
    with pytest.raises(ZeroDivisionError):
        trained(small_cnn, key, "sgd", checkpoint, StopAt(8, ZeroDivisionError))
    assert same(trained(small_cnn, key, "sgd", checkpoint)[0], trained(small_cnn, key, "sgd")[0])


def test_ctrl_c_keeps_what_was_learned(capsys):
    net = made(TinyCNN)
    before = state_of(net)
    history = ap.fit(net, TRAIN, VALIDATION, epochs=3, batch_size=24, augment=StopAt(3), **QUIET)
    assert history.interrupted and history.epochs == [] and history.images_per_second == 0
    assert not same(state_of(net), before) and not net.training
    assert (
        "Stopped in epoch 1 of 3. The network keeps what it has learned.\n"
        in capsys.readouterr().out
    )


def test_a_checkpoint_is_no_pickle_and_holds_the_random_state(tmp_path):
    checkpoint = tmp_path / "run.safetensors"
    trained(small_cnn, Learnable, "adam", checkpoint)
    assert not zipfile.is_zipfile(checkpoint)
    with safe_open(checkpoint, "pt") as file:
        names, header = set(file.keys()), json.loads(file.metadata()["checkpoint"])
    assert {
        "net.fc1.weight",
        "transform.delta",
        "optimizer.0.exp_avg",
        "random.torch",
        "random.generator",
    } <= names
    assert header["settings"]["lr"] == 0.01 and len(header["epochs"]) == 3


@pytest.mark.parametrize(
    "change, message",
    [
        ({"lr": 0.02}, "lr is 0.02, was 0.01"),
        ({"transform_max_norm": 1.0}, "transform_max_norm is 1.0, was None"),
        ({"epochs": 4}, "epochs is 4, was 2"),
        ({"seed": 1}, "seed is 1, was 0"),
        ({"batch_size": 8}, "batch_size is 8, was 16"),
        ({"optimizer": "sgd"}, "optimizer is sgd, was adam"),
        ({"weight_decay": 0.1}, "weight_decay is 0.1, was 0.0"),
        ({"augment": ap.Augment(1)}, r"augment is Augment\(crop=1"),
        (
            {"transform": ap.Fixed((1, 8, 8), 0.2, 0.2, seed=5)},
            "transform is .*sigma=0.2.* was .*sigma=0.1",
        ),
        ({"transform": None, "loss": None}, "transform is None, was Fixed"),
        ({"loss": ap.AntiPiracyLoss(1, 2, 0)}, "loss is .*beta=2.* was .*beta=1"),
        ({"net": nn.Sequential(nn.Flatten(), nn.Linear(64, 10))}, "net is Sequential"),
        ({"train": toy_split(64, seed=9)}, "training images is .*, was "),
        ({"train": toy_split(32, seed=1)}, "training images is .*, was "),
        (
            {"train": ap.Split(TRAIN.images.flip(-1), TRAIN.labels, TRAIN.indices)},
            "training images is .*, was ",
        ),
        (
            {"train": ap.Split(TRAIN.images, TRAIN.labels.flip(0), TRAIN.indices)},
            "training images is .*, was ",
        ),
        ({"validation": toy_split(32, seed=3)}, "validation images is .*, was "),
    ],
)
def test_the_checkpoint_of_another_run_is_refused_and_the_difference_named(
    tmp_path, change, message
):
    first = {
        "net": TinyCNN(),
        "train": TRAIN,
        "validation": VALIDATION,
        "transform": key(),
        "loss": ap.AntiPiracyLoss(),
        "epochs": 2,
        "batch_size": 16,
        "lr": 0.01,
        "checkpoint": tmp_path / "run.safetensors",
    }
    ap.fit(**first, **QUIET)
    with pytest.raises(
        TrainingError, match=f"run.safetensors is the checkpoint of another run: .*{message}"
    ):
        ap.fit(**{**first, **change}, **QUIET)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-100],
        lambda content: content[:50],
        lambda content: b"",
        lambda content: b"\x00" * 200,
    ],
    ids=["truncated", "header", "empty", "zeros"],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    checkpoint = tmp_path / "run.safetensors"
    options = {"epochs": 1, "checkpoint": checkpoint, **QUIET}
    ap.fit(TinyCNN(), TRAIN, VALIDATION, **options)
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(
        TrainingError,
        match=(
            "run.safetensors is no checkpoint of this version, or a damaged one .* Remove it to"
            " start anew"
        ),
    ):
        ap.fit(TinyCNN(), TRAIN, VALIDATION, **options)


def test_a_file_of_weights_is_no_checkpoint(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(TrainingError, match="weights.safetensors is no checkpoint"):
        ap.fit(
            TinyCNN(),
            TRAIN,
            VALIDATION,
            epochs=1,
            checkpoint=tmp_path / "weights.safetensors",
            **QUIET,
        )


# ---- what cannot go on

class Nowhere(ap.Transform):
    """Adds NaN to every pixel."""

    def perturbation(self, x):
        return torch.full_like(x[:1], float("nan"))


@pytest.mark.parametrize("transform", [None, Nowhere()], ids=["plain", "transform"])
def test_a_loss_that_is_not_finite_stops_training(transform):
    net = TinyCNN()
    if transform is None:
        nn.init.constant_(net.fc.bias, float("inf"))
    with pytest.raises(
        TrainingError,
        match="the loss or the network is not finite any more .epoch 1.: lower the learning rate",
    ):
        ap.fit(net, TRAIN, VALIDATION, transform=transform, epochs=2, **QUIET)
    assert not net.training


@pytest.mark.parametrize("settings, message", [
    ({"loss": ap.AntiPiracyLoss()}, "a loss needs a transform"),
    ({"optimizer": "rmsprop"}, "unknown optimizer 'rmsprop': expected one of adam, sgd"),
    ({"epochs": 0}, "epochs must be a whole number, 1 or more, got 0"),
    ({"epochs": 2.0}, "epochs must be a whole number, 1 or more, got 2.0"),
    ({"batch_size": 0}, "batch_size must be a whole number, 1 or more, got 0"),
    ({"lr": 0}, "lr must be a finite number above 0, got 0"),
    ({"lr": float("nan")}, "lr must be a finite number above 0, got nan"),
    ({"transform_lr": 0}, "transform_lr must be a finite number above 0, got 0"),
    ({"transform_max_norm": -1}, "transform_max_norm must be a finite number above 0, got -1"),
    ({"weight_decay": -1}, "weight_decay must be a finite number at least 0, got -1"),
    ({"augment": "flip"}, "augment must be a function, got 'flip'"),
    ({"cuda_graph": 1}, "cuda_graph must be True or False, got 1"),
    ({"seed": 0.5}, "seed must be a whole number"),
    ({"seed": -2**63 - 1}, "seed must be a whole number, -9223372036854775808 or more"),
    ({"seed": 2**64}, "seed must be at most 18446744073709551615"),
])
def test_settings_that_make_no_sense_are_refused_before_anything_changes(settings, message):
    net = TinyCNN()
    before = state_of(net)
    with pytest.raises(ValueError, match=message):
        ap.fit(net, TRAIN, VALIDATION, **settings, **QUIET)
    assert same(state_of(net), before)


# ---- what the reader sees

def test_one_progress_bar_on_standard_output_or_none(capsys):
    ap.fit(TinyCNN(), TRAIN, VALIDATION, epochs=2, batch_size=16, device="cpu")
    shown = capsys.readouterr()
    assert "epoch 2/2" in shown.out and "8/8" in shown.out and shown.err == ""
    ap.fit(TinyCNN(), TRAIN, VALIDATION, epochs=1, **QUIET)
    assert capsys.readouterr() == ("", "")


# ---- precision

class Dtypes(nn.Module):
    """A network that notes the dtypes inside it."""

    def __init__(self):
        super().__init__()
        self.fc, self.seen = nn.Linear(64, 10), set()

    def forward(self, x):
        logits = self.fc(x.flatten(1))
        self.seen.add((self.training, x.dtype, self.fc.weight.dtype, logits.dtype))
        return logits


@pytest.mark.parametrize(
    "precision, inside", [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_precision_is_that_inside_the_network_in_training_only(precision, inside):
    net, seen = Dtypes(), []

    def loss(*arguments):
        seen.extend(a.dtype for a in arguments[:2])
        return ap.AntiPiracyLoss()(*arguments)

    ap.fit(
        net,
        TRAIN,
        VALIDATION,
        transform=key(),
        loss=loss,
        epochs=1,
        **QUIET | {"precision": precision},
    )
    single = torch.float32
    assert net.seen == {(True, single, single, inside), (False, single, single, single)}
    assert set(seen) == {single}


def test_bfloat16_ends_close_to_float32_but_not_on_it():
    one, other = (
        trained(small_cnn, key, "sgd", precision=precision)[0]
        for precision in ("float32", "bfloat16")
    )
    assert not same(one, other)
    start = state_of(made(small_cnn))
    moved = sum((one[name] - start[name]).double().square().sum() for name in one).sqrt()
    apart = sum((one[name] - other[name]).double().square().sum() for name in one).sqrt()
    assert apart < 0.1 * moved


@pytest.mark.parametrize(
    "found, expected",
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_auto_takes_bfloat16_only_where_the_processor_has_it(monkeypatch, found, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert _machine.pick_precision("auto", torch.device("cpu")) == expected


@pytest.mark.parametrize("has_bfloat16, expected", [(True, torch.bfloat16), (False, torch.float16)])
def test_auto_on_cuda_is_the_half_precision_it_has(monkeypatch, has_bfloat16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert _machine.pick_precision("auto", torch.device("cuda")) == expected


def test_auto_elsewhere_is_float32():
    assert _machine.pick_precision("auto", torch.device("mps")) == torch.float32


@pytest.mark.parametrize(
    "precision, message",
    [
        ("half", "unknown precision 'half': expected one of auto, float32"),
        ("float16", "is for CUDA devices, and this one is cpu"),
    ],
)
def test_a_precision_that_cannot_be(precision, message):
    with pytest.raises(ValueError, match=message):
        ap.fit(TinyCNN(), TRAIN, VALIDATION, epochs=1, **QUIET | {"precision": precision})


def test_a_checkpoint_of_another_precision_is_refused(tmp_path):
    checkpoint = tmp_path / "run.safetensors"
    trained(small_cnn, key, "adam", checkpoint)
    with pytest.raises(TrainingError, match="precision is bfloat16, was float32"):
        trained(small_cnn, key, "adam", checkpoint, precision="bfloat16")


@pytest.mark.parametrize("make_transform", OWNERS.values(), ids=OWNERS)
def test_the_host_waits_for_the_device_twice_an_epoch(monkeypatch, make_transform):
    """Tensors on the device "meta" have no values, so whoever reads one inside an epoch fails here.
    What is read at its end gets an answer from this test. "meta" stands for a CUDA device."""
    monkeypatch.setattr(_machine, "COPIES_AT_ONCE", {"meta"})
    read = []
    monkeypatch.setattr(
        torch.Tensor,
        "tolist",
        lambda tensor: read.append(tensor.device.type) or [0.5] * tensor.numel(),
    )
    transform = make_transform()
    settings = Settings(
        optimizer="sgd",
        lr=0.1,
        transform_max_norm=max_norm(transform),
        epochs=1,
        batch_size=8,
        augment=ap.Augment(),
        precision="float32",
    )
    run = training.Run(
        small_cnn(), TRAIN, transform, ap.AntiPiracyLoss(), settings, torch.device("meta")
    )
    with Devices() as devices:
        means = run.one_epoch(tqdm(disable=True))
    assert set(means.values()) == {0.5} and read == ["meta"]
    assert devices.copies == 1 + 3 * (
        64 // 8
    )  # the order of the images; shifts and flips of each batch
    assert devices.waiting_copies == 1  # for the order, before the first batch


def test_shifts_and_flips_are_waited_for_where_a_copy_may_be_read_late():
    images, generator = (
        torch.empty(4, 1, 8, 8, device="meta"),
        torch.Generator(),
    )  # "meta" is no CUDA device
    with Devices() as devices:
        ap.Augment()(images, generator)
    assert (devices.copies, devices.waiting_copies) == (3, 3)


def test_modules_go_back_to_their_devices_whatever_happens():
    net, transform = TinyCNN().to("meta"), key()
    with pytest.raises(TrainingError), _machine.on_loan(net, transform, None):
        net.to_empty(device="cpu")
        raise TrainingError
    assert _machine.device_of(net).type == "meta" and _machine.device_of(transform).type == "cpu"


def test_fit_brings_network_and_transform_back(monkeypatch):
    """Trained on "cpu", lent from a device that is only told of: what moves is told, not moved."""
    moves = []
    for module in (TinyCNN, ap.Generator):
        monkeypatch.setattr(
            module,
            "to",
            lambda self, device, **options: moves.append((type(self), device.type)) or self,
            False,
        )
    monkeypatch.setattr(training.Run, "train", lambda run, *arguments: run.history)
    monkeypatch.setattr(training, "check_task", lambda *arguments: torch.channels_last)
    ap.fit(
        TinyCNN(),
        TRAIN,
        VALIDATION,
        transform=OWNERS["generator"](),
        epochs=1,
        **QUIET | {"device": "meta"},
    )
    assert moves == [
        (TinyCNN, "meta"),
        (ap.Generator, "meta"),
        (TinyCNN, "cpu"),
        (ap.Generator, "cpu"),
    ]


class Recorded:
    """A CUDA graph's stand-in on the CPU.

    Replayed, it computes again into the tensors it was recorded with.
    """

    def __init__(self, run):
        self.run = run
        self.parameters = [
            parameter for group in run.optimizer.param_groups for parameter in group["params"]
        ]

    @contextlib.contextmanager
    def record(self, stream):
        yield
        self.gradients = [parameter.grad for parameter in self.parameters]

    def replay(self):
        now = [parameter.grad for parameter in self.parameters]  # a graph knows nothing of these
        replay = self.run.gradients
        for kept, new in zip(replay.outputs, replay.compute(*replay.inputs), strict=True):
            kept.copy_(new.detach())
        # where the graph writes, whoever reads it
        for kept, parameter in zip(self.gradients, self.parameters, strict=True):
            if kept is not None:
                kept.copy_(parameter.grad)
        self.put(now)

    def put(self, gradients):
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient


@pytest.mark.parametrize("make_transform", OWNERS.values(), ids=OWNERS)
def test_batches_that_are_replayed_train_as_batches_that_are_computed(monkeypatch, make_transform):
    """Of 64 images in batches of 24 the last is not full: no graph fits it."""
    ends, replayed = [], []
    for graph in (False, True):
        net, transform = made(TinyCNN), make_transform()
        settings = Settings(
            optimizer="sgd",
            lr=0.05,
            transform_max_norm=max_norm(transform, 0.1),
            weight_decay=0.01,
            epochs=3,
            batch_size=24,
            augment=ap.Augment(1),
            precision="float32",
        )
        run = training.Run(
            net, TRAIN, transform, ap.AntiPiracyLoss(), settings, torch.device("cpu")
        )
        if graph:
            before = state_of(net)
            with monkeypatch.context() as cuda:
                cuda.setattr(
                    torch.cuda,
                    "Stream",
                    lambda device: types.SimpleNamespace(wait_stream=lambda stream: None),
                )
                cuda.setattr(torch.cuda, "current_stream", torch.cuda.Stream)
                cuda.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
                cuda.setattr(torch.cuda, "CUDAGraph", lambda run=run: Recorded(run))
                cuda.setattr(torch.cuda, "graph", Recorded.record)
                _graph.attach_graph(run)
            assert same(before, state_of(net))
            graph = run.gradients.graph
            graph.replay = lambda replay=graph.replay: replayed.append(1) or replay()
        history = run.train(VALIDATION, None, progress=False)
        ends.append(
            (state_of(net) | ({} if transform is None else state_of(transform)), history.epochs)
        )
    assert same(ends[0][0], ends[1][0]) and ends[0][1] == ends[1][1]
    assert len(replayed) == 3 * 2


def test_there_is_no_cuda_graph_on_a_cpu():
    with_it, without = TinyCNN(), TinyCNN()
    with_it.load_state_dict(without.state_dict())
    for net, asked in ((with_it, True), (without, False)):
        ap.fit(net, TRAIN, VALIDATION, transform=key(), epochs=1, cuda_graph=asked, **QUIET)
    assert same(state_of(with_it), state_of(without))


def test_pick_device():
    assert ap.pick_device("cpu") == torch.device("cpu")
    assert ap.pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


# ---- the transforms that are trained

TRAINABLE = {
    "learned": lambda: ap.Learned((1, 8, 8), seed=0),
    "generator": lambda: ap.Generator(1, 4, seed=0),
    "relu": lambda: ap.Generator(1, 4, "relu", seed=0),
    "dense": lambda: ap.Generator(1, 4, form="dense", image_size=8, seed=0),
    "clipped": lambda: ap.Generator(1, 4, seed=0, clip=True),
}


@pytest.mark.parametrize("make", TRAINABLE.values(), ids=TRAINABLE)
def test_network_and_transform_learn_together(make):
    """Two classes, dark and bright: soon told apart when processed, and mistaken when raw."""
    generator = np.random.default_rng(0)
    labels = torch.tensor(generator.integers(0, 2, 120))
    images = torch.tensor(
        generator.random((120, 1, 8, 8)) * 0.3 + 0.5 * labels.numpy()[:, None, None, None]
    ).float()
    train = ap.Split(images, labels, torch.arange(120))
    transform, net = (
        make(),
        made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 2))),
    )
    before = state_of(transform)
    history = ap.fit(
        net,
        train,
        train,
        transform=transform,
        loss=ap.AntiPiracyLoss(1, 2, 0.01),
        epochs=40,
        batch_size=20,
        lr=0.02,
        **QUIET,
    )
    after = state_of(transform)
    assert all(not torch.equal(before[name], after[name]) for name in before), (
        "a parameter was not trained"
    )
    found = ap.access(net, train, transform)
    assert found.authorized > 0.9 and found.unauthorized < 0.5, found
    assert history.epochs[-1]["size"] == pytest.approx(
        ap.perturbation_size(transform, train.images).squared_norm, rel=0.1
    )
    assert not transform.training and not net.training


@pytest.mark.parametrize(
    "make", [TRAINABLE["learned"], TRAINABLE["generator"]], ids=["learned", "generator"]
)
def test_a_larger_gamma_gives_a_smaller_perturbation(make):
    train, sizes = toy_split(64, seed=7), []
    for gamma in (0.01, 0.3, 10):
        transform, net = make(), made(TinyCNN)
        ap.fit(
            net,
            train,
            train,
            transform=transform,
            loss=ap.AntiPiracyLoss(1, 2, gamma),
            epochs=20,
            batch_size=16,
            lr=0.02,
            **QUIET,
        )
        sizes.append(ap.perturbation_size(transform, train.images).squared_norm)
    assert sizes[0] > 1.5 * sizes[1] > 1.5 * 1.5 * sizes[2], sizes


def test_the_transform_has_a_learning_rate_of_its_own():
    """The network is blind; only γ moves δ, and by little: twice the rate moves it twice as far."""

    def moved(**options):
        transform = Learnable()
        ap.fit(
            Blind(),
            TRAIN,
            VALIDATION,
            transform=transform,
            loss=ap.AntiPiracyLoss(1, 1, 1),
            epochs=5,
            lr=1e-4,
            batch_size=len(TRAIN),
            optimizer="sgd",
            **options,
            **QUIET,
        )
        return 0.1 - transform.delta.detach().mean().item()

    assert moved(transform_lr=5e-5) == pytest.approx(moved() / 2, rel=0.02) and moved() > 1e-5
    assert moved(transform_lr=1e-4) == moved()
    assert moved(transform_lr=None) == moved()


# ---- a reader's own network

class Viewed(nn.Module):
    """A textbook CNN: two convolutions, and ``.view`` to flatten what they give."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 5, 3), nn.Linear(80, 10)

    def forward(self, x):
        return self.fc(self.conv2(self.conv1(x).relu()).view(len(x), -1))


def test_a_network_that_flattens_with_view_trains_and_answers_afterwards():
    net = made(Viewed)
    ap.fit(net, TRAIN, VALIDATION, transform=Learnable(), epochs=2, **QUIET)
    assert net(VALIDATION.images).shape == (32, 10)
    assert net.conv2.weight.is_contiguous()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_memory_layout_is_given_back(layout):
    net = made(lambda: ap.SimpleCNN(image_size=8)).to(memory_format=layout)
    ap.fit(net, TRAIN, VALIDATION, epochs=1, **QUIET)
    assert net.conv2.weight.is_contiguous(memory_format=layout)
    assert net.conv2.weight.grad.is_contiguous(memory_format=layout)


def test_a_frozen_network_is_left_alone_while_its_key_is_trained():
    net, key_to_learn = made(ap.ResNet20).requires_grad_(False).eval(), Learnable()
    before = state_of(net)
    ap.fit(net, TRAIN, VALIDATION, transform=key_to_learn, epochs=1, weight_decay=0.1, **QUIET)
    assert same(state_of(net), before)
    assert not torch.equal(key_to_learn.delta, torch.full((1, 8, 8), 0.1))


def test_frozen_batch_normalization_stays_frozen_beside_layers_that_learn():
    net = made(TinyCNN)
    net.bn.requires_grad_(False).eval()
    before = state_of(net)
    ap.fit(net, TRAIN, VALIDATION, epochs=1, **QUIET)
    changed = {
        name for name, tensor in state_of(net).items() if not torch.equal(tensor, before[name])
    }
    assert changed == {"conv.weight", "conv.bias", "fc.weight", "fc.bias"}


def test_batch_normalization_that_is_not_frozen_learns_though_the_network_was_in_evaluation_mode():
    net = made(TinyCNN).eval()
    ap.fit(net, TRAIN, VALIDATION, epochs=1, **QUIET)
    assert net.bn.num_batches_tracked == 1


class Answers(nn.Module):
    """A network that returns whatever it was made with."""

    def __init__(self, answer):
        super().__init__()
        self.weight, self.answer = nn.Parameter(torch.ones(1)), answer

    def forward(self, x):
        return self.answer(x * self.weight)


@pytest.mark.parametrize(
    "net, message",
    [
        (
            lambda: made(TinyCNN).double(),
            "does not take images .* Its parameters are torch.float64: try net.float",
        ),
        (
            lambda: Answers(lambda x: (x, x)),
            "returns logits, a tensor .N, num_classes.; for 2 images it returned tuple",
        ),
        (lambda: Answers(lambda x: x), "for 2 images it returned Tensor of shape .2, 1, 8, 8."),
        (
            lambda: Answers(lambda x: x[:1].flatten(1)),
            "for 2 images it returned Tensor of shape .1, 64.",
        ),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(63, 10)),
            "does not take images of shape .2, 1, 8, 8.",
        ),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 4)),
            "has 4 logits, for labels from 0 to 3; .* labels from 0 to 9",
        ),
        (lambda: made(TinyCNN).requires_grad_(False), "nothing can be trained"),
    ],
)
def test_a_network_that_cannot_be_trained_is_refused_and_stays_as_it_was(net, message):
    net = net()
    before, mode = state_of(net), net.training
    with pytest.raises(ValueError, match=message):
        ap.fit(net, TRAIN, VALIDATION, epochs=1, **QUIET)
    assert same(state_of(net), before) and net.training == mode


@pytest.mark.parametrize(
    "change, message",
    [
        ({"train": TRAIN[:0]}, "the training split is empty"),
        ({"validation": VALIDATION[:0]}, "the validation split is empty"),
        (
            {"train": ap.Split(255 * TRAIN.images, TRAIN.labels, TRAIN.indices)},
            "the training images must be raw, with pixels in .0, 1.",
        ),
        (
            {
                "validation": ap.Split(
                    255 * VALIDATION.images, VALIDATION.labels, VALIDATION.indices
                )
            },
            "the validation images must be raw",
        ),
        (
            {"train": ap.Split(TRAIN.images, TRAIN.labels.int(), TRAIN.indices)},
            "the training labels must be of type torch.int64",
        ),
        ({"train": ap.Split(TRAIN.images, TRAIN.labels - 1, TRAIN.indices)}, "labels from -1 to 9"),
        (
            {"validation": toy_split(8, side=9)},
            "training images of shape .1, 8, 8. and validation images of shape .1, 9, 9.",
        ),
        ({"transform": ap.Fixed((1, 9, 9), 0.1, 0.2, seed=1)}, "9.*8"),
        ({"device": "card"}, "there is no device 'card' here: expected 'auto' or one of cpu"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_before_anything_changes(change, message):
    net = made(TinyCNN)
    before = state_of(net)
    with pytest.raises(ValueError, match=message):
        ap.fit(net, **{"train": TRAIN, "validation": VALIDATION, "epochs": 1, **QUIET, **change})
    assert same(state_of(net), before) and net.training


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_it_trains_where_gradients_are_off(around):
    inside, outside = made(TinyCNN), made(TinyCNN)
    with around():
        ap.fit(inside, TRAIN, VALIDATION, epochs=1, **QUIET)
        assert not torch.is_grad_enabled()
    ap.fit(outside, TRAIN, VALIDATION, epochs=1, **QUIET)
    assert same(state_of(inside), state_of(outside))


def test_two_at_once_end_as_each_would_alone():
    def ended(seed, ends):
        net = nets.pop()
        net.load_state_dict(start)
        ap.fit(net, TRAIN, VALIDATION, epochs=4, batch_size=16, seed=seed, **QUIET)
        ends[seed] = state_of(net)

    nets = [
        small_cnn() for _ in range(4)
    ]  # with dropout, which draws from the one random state there is
    start, alone, together = state_of(nets[0]), {}, {}
    for seed in (1, 2):
        ended(seed, alone)
    threads = [threading.Thread(target=ended, args=(seed, together)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(alone[seed], together[seed]) for seed in (1, 2))


@pytest.mark.parametrize(
    "count, size, expected",
    [
        (64, 24, [24, 24, 16]),
        (49, 24, [24, 25]),
        (25, 24, [25]),
        (24, 24, [24]),
        (3, 1, [1, 1, 1]),
        (1, 24, [1]),
    ],
)
def test_a_last_batch_of_one_image_joins_the_one_before(count, size, expected):
    """49 images are 24 + 25, not 24 + 24 + 1; every image is there once, in order."""
    parts = training.batches(torch.arange(count), size)
    assert [len(part) for part in parts] == expected
    assert torch.cat(parts).tolist() == list(range(count))


def test_batch_normalization_trains_though_one_image_is_left_over():
    net = made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10)))
    ap.fit(net, toy_split(49), VALIDATION, epochs=1, batch_size=24, **QUIET)
    assert net[2].num_batches_tracked == 2


def test_a_single_step_is_taken_at_the_rate_that_was_asked_for():
    net = toy_linear()
    before = net.weight.detach().clone()
    loss = nn.functional.cross_entropy(net(TRAIN.images), TRAIN.labels)
    gradient, = torch.autograd.grad(loss, [net.weight])
    ap.fit(net, TRAIN, VALIDATION, epochs=1, batch_size=64, optimizer="sgd", lr=0.1, **QUIET)
    rate = (
        ((before - net.weight) / (1.9 * gradient)).mean().item()
    )  # Nesterov's first step is 1 + 0.9 gradients
    assert 0.05 < rate < 0.1


def test_a_network_that_the_last_step_ruined_is_not_returned_as_trained():
    class Ruins(nn.Module):
        """Finite in its first pass, and with an infinite gradient."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(64, 10))

        def forward(self, x):
            return (
                x.flatten(1) @ self.weight + self.weight.pow(2).sum().sqrt()
            )  # its slope at 0 is NaN

    with pytest.raises(
        TrainingError, match="the loss or the network is not finite any more .epoch 1."
    ):
        ap.fit(Ruins(), TRAIN, VALIDATION, epochs=1, batch_size=64, **QUIET)


def test_nothing_is_drawn_on_the_default_device():
    """torch.set_default_device moves whatever names no device.

    "meta" has no values, so that would be seen.
    """
    net = made(TinyCNN)
    expected = made(TinyCNN)
    ap.fit(expected, TRAIN, VALIDATION, transform=key(), augment=ap.Augment(1), epochs=1, **QUIET)
    owner = key()
    torch.set_default_device("meta")
    try:
        ap.fit(net, TRAIN, VALIDATION, transform=owner, augment=ap.Augment(1), epochs=1, **QUIET)
    finally:
        torch.set_default_device(None)
    assert same(state_of(net), state_of(expected))


def test_the_bar_is_no_wider_than_the_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    ap.fit(TinyCNN(), TRAIN, VALIDATION, epochs=2, batch_size=16, device="cpu")
    assert max(map(len, capsys.readouterr().out.replace("\r", "\n").splitlines())) <= 40


def test_nothing_selected_is_nothing_loaded():
    with pytest.raises(ValueError, match="no epoch is finished, so none can be loaded"):
        ap.History().load_selected(TinyCNN())


# ---- settings

def test_a_setting_that_is_not_known_is_refused_with_one_that_is():
    with pytest.raises(TypeError, match="unknown setting 'epoch': did you mean 'epochs'"):
        ap.fit(TinyCNN(), TRAIN, VALIDATION, epoch=1, **QUIET)
    with pytest.raises(
        TypeError, match="unknown setting 'q': expected one of epochs, batch_size, lr"
    ):
        ap.fit(TinyCNN(), TRAIN, VALIDATION, q=1, **QUIET)


def test_settings_say_what_they_are_and_cannot_be_changed():
    defaults = {
        "epochs": 8,
        "batch_size": 128,
        "lr": 2e-3,
        "transform_lr": None,
        "transform_max_norm": None,
        "optimizer": "adam",
        "weight_decay": 0.0,
        "augment": None,
        "precision": "auto",
        "cuda_graph": False,
        "seed": 0,
    }
    assert dataclasses.asdict(Settings()) == defaults
    for name, value in defaults.items():
        assert f"    {name} = {value!r}: " in Settings.__doc__
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().lr = 1


def test_a_new_setting_is_one_line():
    """Shown with a setting that is added to the class and nowhere else.

    It is checked, explained, and known to checkpoints.
    """

    @checked
    class More(Settings):
        """With one more."""
        warmup: int = setting(0, "epochs of a slow start", must.be_natural)

    assert (
        made_of(More, {"warmup": 2}).warmup == 2
        and "warmup = 0: epochs of a slow start" in More.__doc__
    )
    with pytest.raises(ValueError, match="warmup must be a whole number, 0 or more, got -1"):
        made_of(More, {"warmup": -1})


def test_answers_that_are_not_finite_stop_training_though_the_weights_are():
    class Overflows(nn.Module):
        """Right in training; in evaluation mode its logits are no number."""

        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(64, 10)

        def forward(self, x):
            logits = self.fc(x.flatten(1))
            return logits if self.training else logits * float("nan")

    with pytest.raises(
        TrainingError, match="after epoch 1: the network's logits are NaN or infinite for 32 of 32"
    ):
        ap.fit(Overflows(), TRAIN, VALIDATION, epochs=2, **QUIET)


# ---- the numbers of a run, and what fit calls

def test_seconds_are_those_that_passed_and_the_rate_is_images_over_them():
    began = time.perf_counter()
    history = ap.fit(TinyCNN(), TRAIN, VALIDATION, epochs=3, batch_size=24, **QUIET)
    passed = time.perf_counter() - began
    assert 0 < history.training_seconds < history.seconds < passed
    assert history.images_per_second == 3 * len(TRAIN) / history.training_seconds


def test_on_cuda_a_graph_is_attached_if_it_is_asked_for(monkeypatch):
    """With stand-ins for all that needs the device."""
    attached = []

    class Idle:
        def __init__(self, *arguments):
            pass

        def train(self, *arguments):
            return len(attached)

    monkeypatch.setattr(_machine, "pick_device", lambda device: types.SimpleNamespace(type=device))
    monkeypatch.setattr(_machine, "at_work", lambda *modules, device: contextlib.nullcontext())
    monkeypatch.setattr(training, "check_task", lambda *arguments: None)
    monkeypatch.setattr(training, "Run", Idle)
    monkeypatch.setattr(training, "attach_graph", attached.append)
    split = types.SimpleNamespace(to=lambda device: None)
    asked = [("cpu", True), ("mps", True), ("cuda", False), ("cuda", True)]
    found = [ap.fit(None, split, split, device=device, cuda_graph=graph) for device, graph in asked]
    assert found == [0, 0, 0, 1]


def test_gradients_have_their_true_size_before_they_are_shortened():
    class Scaler:
        """Scales the loss by 8, as float16 needs it."""

        def scale(self, loss):
            return 8 * loss

        def unscale_(self, optimizer):
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad /= 8

        def step(self, optimizer):
            optimizer.step()

        def update(self):
            pass

    def delta_after_a_step(scaler):
        settings = Settings(
            optimizer="sgd", lr=0.1, transform_max_norm=0.5, epochs=1, precision="float32"
        )
        owner = Learnable()
        run = training.Run(
            toy_linear(), TRAIN, owner, ap.AntiPiracyLoss(1, 2, 5), settings, torch.device("cpu")
        )
        run.scaler = scaler or run.scaler
        run.step(TRAIN.images, TRAIN.labels)
        return owner.delta.grad

    torch.testing.assert_close(delta_after_a_step(Scaler()), delta_after_a_step(None))


def a_run(**settings):
    """A run that is set up and has not begun: three batches an epoch, on the CPU."""
    settings = Settings(**{"epochs": 3, "batch_size": 24, "precision": "float32", **settings})
    return training.Run(
        toy_linear(), TRAIN, Learnable(), ap.AntiPiracyLoss(), settings, torch.device("cpu")
    )


def test_a_step_scales_unscales_steps_and_updates_the_scale():
    """In this order: a scale that is never updated stays too large, and no step is ever taken."""
    called = []

    class Noted:
        def __getattr__(self, name):
            return lambda given: called.append(name) or given

        def update(self):
            called.append("update")

    run = a_run(transform_max_norm=1.0)
    run.scaler = Noted()
    run.optimizer.step()  # the schedule asks for one before its own
    run.step(TRAIN.images, TRAIN.labels)
    assert called == ["scale", "unscale_", "step", "update"]


@pytest.mark.parametrize(
    "precision, scaled",
    [(torch.float32, False), (torch.bfloat16, False), (torch.float16, True)],
)
def test_only_float16_needs_the_loss_scaled(monkeypatch, precision, scaled):
    monkeypatch.setattr(_machine, "pick_precision", lambda asked, device: precision)
    assert a_run().scaler.is_enabled() == scaled


@pytest.mark.parametrize(
    "epochs, batch_size, steps", [(1, 64, 2), (1, 32, 2), (2, 64, 2), (3, 64, 3), (3, 24, 9)]
)
def test_the_schedule_has_as_many_steps_as_the_run_and_two_at_least(epochs, batch_size, steps):
    assert a_run(epochs=epochs, batch_size=batch_size).schedule.total_steps == steps


def test_adam_is_the_fused_one():
    """All parameters in one kernel, several times as fast where the network is small."""
    groups = a_run(optimizer="adam").optimizer.param_groups
    assert len(groups) == 2 and all(group["fused"] for group in groups)


def test_the_order_of_the_images_does_not_depend_on_what_the_network_draws():
    orders = []
    for dropout in (0.0, 0.5):
        net = Watched(nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(64, 10)))
        ap.fit(net, TRAIN, VALIDATION, epochs=2, batch_size=24, seed=3, **QUIET)
        orders.append(torch.cat(net.batches))
    assert torch.equal(*orders)


def test_seconds_are_counted_from_before_the_epoch_until_after_its_validation(monkeypatch):
    """By a clock that ticks each time it is read: once before, once between, and once after."""
    ticks = iter(range(100, 200))
    monkeypatch.setattr(training, "time", types.SimpleNamespace(perf_counter=lambda: next(ticks)))
    history = ap.fit(TinyCNN(), TRAIN, VALIDATION, epochs=3, batch_size=24, **QUIET)
    assert (history.training_seconds, history.seconds) == (3, 6)
    assert history.images_per_second == len(TRAIN)


def test_the_bar_counts_batches_and_names_the_epoch_without_drawing_it_twice(monkeypatch):
    bar = types.SimpleNamespace(said=[], updates=0, closed=0)

    def add(name, value):
        setattr(bar, name, getattr(bar, name) + value)

    bar.set_description = lambda text, refresh=True: bar.said.append((text, refresh))
    bar.update, bar.close = lambda: add("updates", 1), lambda: add("closed", 1)
    monkeypatch.setattr(training, "progress_bar", lambda *arguments, shown: bar)
    ap.fit(TinyCNN(), TRAIN, VALIDATION, epochs=2, batch_size=24, **QUIET)
    assert bar.said == [("epoch 1/2", False), ("epoch 2/2", False)]
    assert (bar.updates, bar.closed) == (2 * 3, 1)


def test_no_bar_is_left_open():
    """Not even while somebody looks at the error that ended the run."""
    options = {"epochs": 1, "device": "cpu", "precision": "float32"}
    with pytest.raises(ZeroDivisionError) as error:
        ap.fit(
            TinyCNN(), TRAIN, VALIDATION, augment=StopAt(1, ZeroDivisionError), **options
        )
    assert not tqdm._instances and error.traceback
    ap.fit(TinyCNN(), TRAIN, VALIDATION, **options)
    assert not tqdm._instances


@pytest.mark.parametrize("seed", [-(2**63), -1, 2**33, 2**64 - 1])
def test_every_seed_that_torch_takes_is_a_seed(seed):
    ap.fit(TinyCNN(), TRAIN, VALIDATION, epochs=1, seed=seed, **QUIET)
