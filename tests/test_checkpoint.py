"""Checkpoints that were damaged, moved, written by somebody else, or cannot be written."""

import json
import os
import types
import warnings

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from toys import QUIET, Learnable, TinyCNN, same, state_of, toy_split

import apdnn_lite as ap
from apdnn_lite import _checkpoint, _files
from apdnn_lite.losses import AntiPiracyLoss
from apdnn_lite.training import Run, Settings, TrainingError

TRAIN, VALIDATION = toy_split(64, seed=1), toy_split(32, seed=2)


def fit(path, net=None, **settings):
    torch.manual_seed(0)
    net = TinyCNN() if net is None else net
    transform = Learnable()
    history = ap.fit(
        net,
        TRAIN,
        VALIDATION,
        **{
            "transform": transform,
            "epochs": 2,
            "batch_size": 24,
            "lr": 0.01,
            "checkpoint": path,
            **QUIET,
            **settings,
        },
    )
    return net, transform, history


@pytest.fixture
def written(tmp_path):
    """A checkpoint after one of two epochs, as a run that was killed leaves it."""
    path = tmp_path / "run.safetensors"
    save = _checkpoint.Checkpoint.save

    def save_once(saved):
        if len(saved.run.history.epochs) == 1:
            save(saved)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_checkpoint.Checkpoint, "save", save_once)
        fit(path)
    return path


def parts(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["checkpoint"]), {
            name: file.get_tensor(name) for name in file.keys()
        }


def put(path, header, tensors):
    save_file(tensors, path, {"checkpoint": json.dumps(header)})


def test_whatever_single_byte_flips_the_file_is_refused_or_means_the_same(written):
    """Every part of the file: lengths, names, header and tensors.

    What is only told to people may differ.
    """
    content = written.read_bytes()
    expected = state_of(fit(written)[0])
    places = np.random.default_rng(0).choice(len(content), 60, replace=False).tolist() + [
        0,
        8,
        20,
        len(content) - 1,
    ]
    refused = 0
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        written.write_bytes(damaged)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of another number of threads
                net, _, history = fit(written)
        except TrainingError as error:
            assert "run.safetensors" in str(error)
            refused += 1
        else:
            assert same(state_of(net), expected) and len(history.epochs) == 2
    assert refused > 0.9 * len(places)


@pytest.mark.parametrize(
    "lost",
    [
        "optimizer.0.exp_avg",
        "optimizer.3.step",
        "random.torch",
        "net.fc.bias",
        "transform.delta",
        "best.net.fc.bias",
    ],
)
@pytest.mark.parametrize("honest", [False, True], ids=["kept checksum", "new checksum"])
def test_a_tensor_that_is_missing_is_missed(written, lost, honest):
    header, tensors = parts(written)
    del tensors[lost]
    if honest:
        header["sha256"] = _checkpoint.checksum(header, tensors)
    put(written, header, tensors)
    with pytest.raises(TrainingError, match=r"run.safetensors .*Remove it to start anew"):
        fit(written)


def test_a_tensor_of_another_shape_or_name_is_refused(written):
    header, tensors = parts(written)
    for change in ({"net.fc.bias": torch.zeros(4)}, {"net.more": torch.zeros(1)}):
        header["sha256"] = _checkpoint.checksum(header, tensors | change)
        put(written, header, tensors | change)
        with pytest.raises(TrainingError, match=f"of another shape are {next(iter(change))}"):
            fit(written)


def test_the_message_of_a_damaged_file_says_what_was_expected(written):
    header, tensors = parts(written)
    tensors["net.fc.bias"] += 1e-3
    put(written, header, tensors)
    with pytest.raises(
        TrainingError,
        match=f"is damaged: .* should have {header['sha256']}. Remove it to start anew",
    ):
        fit(written)


def test_a_file_of_another_version_is_refused_and_one_that_knows_less_goes_on(written):
    header, tensors = parts(written)
    expected = state_of(fit(written)[0])

    def without(name):
        return {key: value for key, value in header["settings"].items() if key != name}

    put(written, header | {"settings": without("transform_max_norm")}, tensors)
    assert same(state_of(fit(written)[0]), expected), "a setting it does not know had its default"
    del header["training_seconds"]
    put(written, header, tensors)
    assert fit(written)[2].training_seconds >= header["seconds"]
    for change, message in (
        ({"format": 3}, r"written by another version \(format 3, expected 2\)"),
        (
            {"settings": header["settings"] | {"warmup": 3}},
            "warmup is no setting of this version, was 3",
        ),
        ({"settings": without("net")}, "does not say which run it belongs to"),
        ({"settings": None}, "does not say which run it belongs to"),
    ):
        put(written, header | change, tensors)
        with pytest.raises(TrainingError, match=message):
            fit(written)


def test_a_refused_checkpoint_leaves_network_and_transform_alone(written):
    header, tensors = parts(written)
    put(written, header | {"settings": header["settings"] | {"lr": 0.5}}, tensors)
    net, transform = TinyCNN(), Learnable()
    before = state_of(net), state_of(transform)
    with pytest.raises(TrainingError, match="lr is 0.01, was 0.5"):
        fit(written, net, transform=transform)
    assert same(state_of(net), before[0]) and same(state_of(transform), before[1])


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("held", [False, True], ids=["begun on a CPU", "begun on a card"])
def test_the_random_state_of_a_card_is_taken_where_there_is_one(written, monkeypatch, kind, held):
    """With a device that only says it is a card: a run may begin on one and go on elsewhere."""
    header, tensors = parts(written)
    if held:
        tensors["random.cuda"] = torch.tensor([1, 2, 3], dtype=torch.uint8)
        put(written, header | {"sha256": _checkpoint.checksum(header, tensors)}, tensors)
    settings = Settings(epochs=2, batch_size=24, lr=0.01, precision="float32")
    run = Run(TinyCNN(), TRAIN, Learnable(), AntiPiracyLoss(), settings, torch.device("cpu"))
    saved, taken = _checkpoint.Checkpoint(written, run, VALIDATION), []
    run.device = types.SimpleNamespace(type=kind)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *place, **how: tensor)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: taken.append(state))
    with torch.random.fork_rng(devices=[]):
        saved.resume()
    assert [state.tolist() for state in taken] == [[1, 2, 3]] * (held and kind == "cuda")
    assert len(run.history.epochs) == 1 and same(state_of(run.net), tensors_of(tensors, "net."))


def tensors_of(tensors, prefix):
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()
            if name.startswith(prefix)}


# ---- who the run is

def shifted(images, generator):
    return images.roll(1, -1)


def test_a_function_that_augments_is_known_by_its_source(tmp_path):
    path = tmp_path / "run"
    fit(path, augment=shifted)
    assert len(fit(path, augment=shifted)[2].epochs) == 2

    def other(images, generator):
        return images.roll(2, -1)

    with pytest.raises(
        TrainingError, match=r"augment is .*other \([0-9a-f]{12}\), was .*shifted \([0-9a-f]{12}\)"
    ):
        fit(path, augment=other)


def test_an_object_is_not_told_by_where_it_lies_in_memory(tmp_path):
    class Mirror:
        def __call__(self, images, generator):
            return images.flip(-1)

    path = tmp_path / "run"
    fit(path, augment=Mirror())
    kept = Mirror(), Mirror()  # two more, so that the next lies elsewhere
    assert len(fit(path, augment=Mirror())[2].epochs) == len(kept)


def test_the_same_images_are_the_same_whatever_the_threads():
    threads = torch.get_num_threads()
    split = toy_split(500, side=28)
    try:
        found = set()
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.add(_checkpoint.split_sha256(split))
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1
    assert (
        _checkpoint.split_sha256(ap.Split(split.images.flip(-1), split.labels, split.indices))
        not in found
    )
    assert (
        _checkpoint.split_sha256(ap.Split(split.images, split.labels.flip(0), split.indices))
        not in found
    )


def test_another_number_of_threads_gives_a_notice(written):
    header, tensors = parts(written)
    put(written, header | {"threads": header["threads"] + 1}, tensors)
    with pytest.warns(
        UserWarning,
        match=f"written with {header['threads'] + 1} threads.* may differ in the last bits",
    ):
        fit(written)


def test_numpy_numbers_are_numbers(tmp_path):
    path = tmp_path / "run"
    fit(path, seed=np.int64(3), epochs=np.int32(2), batch_size=np.int64(24), lr=np.float64(0.01))
    assert len(fit(path, seed=3, epochs=2, batch_size=24, lr=0.01)[2].epochs) == 2


def test_tied_weights_can_be_kept(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.fc = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(64, 10)
            self.two = self.one

        def forward(self, x):
            return self.fc(self.two(self.one(x).relu()).flatten(1))

    torch.manual_seed(0)
    whole = Tied()
    start = state_of(whole)
    fit(None, whole)
    stopped = Tied()
    stopped.load_state_dict(start)
    path = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ap.training.Run,
            "validate",
            lambda run, split: 1 / 0 if run.history.epochs else {"accuracy": 0.5},
        )
        with pytest.raises(ZeroDivisionError):
            fit(path, stopped, transform=None)
    assert path.exists()
    resumed = Tied()
    resumed.load_state_dict(start)
    fit(path, resumed, transform=None)
    plain = Tied()
    plain.load_state_dict(start)
    fit(None, plain, transform=None)
    assert same(state_of(resumed), state_of(plain)) and resumed.two is resumed.one


# ---- where it may lie

def test_a_folder_is_refused_before_anything_is_trained(tmp_path):
    net = TinyCNN()
    before = state_of(net)
    with pytest.raises(
        TrainingError, match="is a folder: name a file in it, such as .*run.safetensors"
    ):
        fit(tmp_path, net)
    (tmp_path / "file").write_text("")
    with pytest.raises(
        TrainingError, match="cannot be written .*name a file in a folder that you may write to"
    ):
        fit(tmp_path / "file" / "run", net)
    assert same(state_of(net), before) and (tmp_path / "file").read_text() == ""


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME" if os.name != "nt" else "USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fit("~/kept/run.safetensors")
    assert (tmp_path / "kept" / "run.safetensors").exists() and not (tmp_path / "~").exists()


def test_on_a_full_disk_training_goes_on_and_says_so(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_checkpoint, "write_whole", full)
    with pytest.warns(
        UserWarning, match="could not be written .No space left on device.; training goes on"
    ):
        history = fit(tmp_path / "run")[2]
    assert len(history.epochs) == 2


def test_two_writers_never_mix(tmp_path, monkeypatch):
    """The second begins while the first writes: each has its own part file, and none is left."""
    path, replace = tmp_path / "file", os.replace
    nested = []

    def slow(part, target):
        if not nested:
            nested.append(part)
            _files.write_whole(path, b"second")
        replace(part, target)

    monkeypatch.setattr(_files.os, "replace", slow)
    _files.write_whole(path, b"first")
    assert path.read_bytes() == b"first" and [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "file"
    _files.write_whole(path, b"old")

    def fail(part, target):
        raise OSError(5, "broken")

    monkeypatch.setattr(_files.os, "replace", fail)
    with pytest.raises(OSError, match="broken"):
        _files.write_whole(path, b"new")
    assert path.read_bytes() == b"old" and [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_not_a_file_to_write(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder; give the name of a file in it"):
        _files.write_whole(tmp_path, b"new")
    assert list(tmp_path.iterdir()) == []
