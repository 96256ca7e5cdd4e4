"""The small network of the earlier methods, their records, and the table of their chapters."""

import json
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from toys import same, state_of, toy_split

import apdnn_lite as ap
from apdnn_lite.experiments import RecordError, prior
from apdnn_lite.experiments.cli import main
from apdnn_lite.experiments.prior import store

TEST = ap.load("fashion_mnist").test


# ---- the network

def test_the_network_has_the_size_that_its_chapters_name():
    net = ap.prior.TinyCNN()
    sizes = [16 * 9 + 16, 32 * 16 * 9 + 32, 64 * 32 * 9 + 64, 64 * 9 * 10 + 10]
    assert ap.count_parameters(net) == sum(sizes) == 29_066
    assert net(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_features_are_what_the_linear_layer_reads():
    torch.manual_seed(0)
    net, images = ap.prior.TinyCNN().eval(), torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        features = net.features(images)
        by_hand = features.double().numpy() @ net.fc.weight.double().numpy().T
        by_hand += net.fc.bias.double().numpy()
        assert features.shape == (3, 576) and features.min() >= 0
        assert np.allclose(net(images), by_hand, atol=1e-5)


def test_it_says_what_it_takes():
    with pytest.raises(ValueError, match=r"\(N, 1, 28, 28\)|28"):
        ap.prior.TinyCNN()(torch.rand(2, 1, 20, 20))
    with pytest.raises(ValueError, match="num_classes"):
        ap.prior.TinyCNN(num_classes=0)


# ---- what ships

@pytest.mark.parametrize("seed", [*store.OWNERS, *store.INNOCENT])
def test_a_plain_network_scores_as_recorded(seed):
    recorded = store.read("plain", seed)["came_out"]["test"]
    found = store.share(prior.prior_network("plain", seed), TEST)
    assert abs(found["correct"] - recorded["correct"]) <= 2  # rounding differs
    assert recorded["images"] == 2000 and 0.84 < recorded["accuracy"] < 0.90


def test_ten_are_innocent_and_no_two_are_alike():
    nets = prior.innocents()
    assert len(nets) == 10 and not any(net.training for net in nets)
    first = [net.conv1.weight.flatten() for net in nets]
    assert all(not torch.equal(a, b) for i, a in enumerate(first) for b in first[:i])


def test_loading_draws_nothing():
    before = torch.random.get_rng_state()
    prior.prior_network("plain", 0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_ships_is_small():
    size = sum(path.stat().st_size for path in store.PRIOR.rglob("*") if path.is_file())
    assert size < 2_000_000


@pytest.mark.parametrize("family", prior.FAMILIES)
def test_each_family_has_three_owners_and_ten_innocent_networks(family):
    records = prior.prior_records(family)
    assert [record["asked"]["seed"] for record in records] == [0, 1, 2]
    for record in records:
        assert record["asked"]["settings"], "a record without its settings"
        came_out = record["came_out"]
        for what in ("before", "after", "copy"):
            share = came_out[what]
            assert share["accuracy"] == share["correct"] / share["images"]
        assert len(came_out["innocents"]) >= 10 and came_out["attacks"] and came_out["detection"]
        plain = store.read("plain", record["asked"]["seed"])["came_out"]["test"]
        if came_out["before"]["images"] == plain["images"] and family != "locks":
            assert abs(came_out["before"]["correct"] - plain["correct"]) <= 2


# ---- writing and reading

def made(folder, family="weights", seed=0, **came_out):
    net = ap.prior.TinyCNN()
    store.write(family, seed, {"a": 1}, came_out, net, folder, how={})
    return net


def test_a_network_comes_back_as_it_was_stored(tmp_path):
    net = made(tmp_path)
    found = prior.prior_network("weights", 0, tmp_path)
    assert same(state_of(found), state_of(store.as_stored(net)))
    assert not same(state_of(found), state_of(net)), "it was rounded to float16"
    stored = load_file(store.path("weights", 0, tmp_path, "safetensors"))
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}


def test_rounding_leaves_the_network_itself_alone():
    net = ap.prior.TinyCNN().train()
    before = state_of(net)
    rounded = store.as_stored(net)
    assert same(state_of(net), before) and net.training and not rounded.training
    assert torch.equal(rounded.fc.weight, net.fc.weight.half().float())


def test_a_damaged_network_is_refused(tmp_path):
    made(tmp_path)
    file = store.path("weights", 0, tmp_path, "safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RecordError, match="altered or truncated"):
        prior.prior_network("weights", 0, tmp_path)
    file.unlink()
    with pytest.raises(RecordError, match="is missing: its record names it"):
        prior.prior_network("weights", 0, tmp_path)


def test_another_network_is_refused(tmp_path):
    made(tmp_path)
    file = store.path("weights", 0, tmp_path, "safetensors")
    save_file({"x": torch.zeros(1)}, file)
    record = store.read("weights", 0, tmp_path)
    record["came_out"]["weights"]["sha256"] = ap._files.sha256_of(file.read_bytes())
    store.write_record(store.path("weights", 0, tmp_path), record["asked"], record["came_out"], {})
    with pytest.raises(RecordError, match="no network that is known"):
        prior.prior_network("weights", 0, tmp_path)


def test_a_record_in_another_place_is_refused(tmp_path):
    made(tmp_path, seed=1)
    store.path("weights", 1, tmp_path).rename(store.path("weights", 0, tmp_path))
    with pytest.raises(RecordError, match="wrong place: it is the record of weights, seed 1"):
        prior.prior_records("weights", tmp_path)


def test_nothing_recorded_is_said(tmp_path):
    with pytest.raises(RecordError, match="no record of poison .*apdnn_lite prior poison"):
        prior.prior_records("poison", tmp_path)
    store.write("poison", 0, {}, {}, folder=tmp_path, how={})
    with pytest.raises(RecordError, match="only what was measured"):
        prior.prior_network("poison", 0, tmp_path)


@pytest.mark.parametrize("function", [prior.prior_records, prior.prior_network, prior.copies])
def test_an_unknown_family_is_refused(function):
    with pytest.raises(ValueError, match="unknown family 'nothing': expected one of weights,"):
        function("nothing")


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "weights").write_text("a file where a folder should be")
    with pytest.raises(RecordError, match="cannot be written"):
        made(tmp_path)


# ---- the table that grows

def test_a_row_a_family_up_to_the_chapters_own():
    rows = prior.copies("activations")
    assert [row["method"] for row in rows] == [
        "mark in the weights", "mark in the activations"]
    came_out = [record["came_out"] for record in prior.prior_records("weights")]
    assert rows[0]["copy"] == pytest.approx(
        100 * statistics.fmean(each["copy"]["accuracy"] for each in came_out))
    assert rows[0]["seeds"] == 3
    assert len(prior.copies()) == len(prior.FAMILIES)


def test_a_copy_works_under_every_earlier_method():
    for row in prior.copies():
        assert row["copy"] > row["owner"] - 1, row


# ---- the command line

def test_the_command_makes_what_is_missing(tmp_path, monkeypatch, capsys):
    asked = []

    def measure(seed, owner, innocents, data):
        asked.append((seed, len(innocents), len(data.test)))
        return {"after": store.share(owner, data.test[:10])}, owner

    monkeypatch.setattr(prior.weights, "measure", measure)
    for _ in range(2):  # the second time everything is there
        assert main(["prior", "weights", "--seeds", "0", "1", "--folder", str(tmp_path)]) == 0
    assert asked == [(0, 10, 2000), (1, 10, 2000)]
    assert "weights, seed 1: recorded in" in capsys.readouterr().out
    record = json.loads(Path(tmp_path / "weights" / "seed1.json").read_text())
    assert record["asked"] == {"family": "weights", "seed": 1,
                               "settings": prior.weights.SETTINGS}
    assert record["how"]["versions"]["torch"] == torch.__version__


def test_records_of_the_package_are_only_read(capsys):
    folder = str(store.PRIOR)
    assert main(["prior", "weights", "--seeds", "7", "--folder", folder]) == 1
    assert "comes with the package and is only read" in capsys.readouterr().err
    with pytest.raises(RecordError, match="only read"):
        prior.run("weights", 7, folder)


def test_ones_own_records_lie_in_ones_own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(prior, "own_folder", lambda kind: tmp_path / kind)
    monkeypatch.setattr(prior.weights, "measure", lambda *given: ({}, None))
    monkeypatch.setattr(prior, "train_plain", lambda seed, data: ap.prior.TinyCNN())
    prior.run("weights", 5)
    assert store.seeds("weights", tmp_path / "prior") == [5]
    assert 5 not in store.seeds("weights")


def test_check_measures_every_network_again(monkeypatch, capsys):
    assert prior.check() is True
    said = capsys.readouterr().out
    assert "plain/seed109: " in said and "differs" not in said
    monkeypatch.setattr(prior, "count_correct", lambda net, split: 0)
    assert prior.check() is False and "<- differs" in capsys.readouterr().out


def test_plain_training_is_the_same_each_time():
    data = ap.Dataset("fashion_mnist", "mini", ap.data.CLOTHES,
                      *(toy_split(128, side=28, seed=seed) for seed in range(3)))
    nets = [store.train_plain(3, data) for _ in range(2)]
    assert same(state_of(nets[0]), state_of(nets[1]))
    assert not same(state_of(store.train_plain(4, data)), state_of(nets[0]))
