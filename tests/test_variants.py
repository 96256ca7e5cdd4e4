"""Pair attacks with one thing changed each: their record, how it is made, and what it says."""

import json
import statistics
import types

import pytest
import torch
from toys import TinyCNN, same, state_of, toy_set, toy_split

import apdnn_lite as ap
from apdnn_lite.experiments import RecordError, variants
from apdnn_lite.experiments.cli import main

LARGE = list(variants.GAMMAS)[-1]


@pytest.fixture(scope="module")
def record():
    return variants.pair_variants()


# ---- what ships

def test_every_variant_is_recorded_with_every_number_of_pairs(record):
    asked, came_out = record["asked"], record["came_out"]
    assert asked["variants"] == variants.VARIANTS and asked["gammas"] == variants.GAMMAS
    assert asked["pairs"] == [100, 1000, 6000, 60_000]
    assert came_out.keys() == {variants.FULL, *variants.GAMMAS}
    for owner, found in came_out.items():
        names = variants.VARIANTS if owner == variants.FULL else variants.OF_ALL_OWNERS
        assert found["thieves"].keys() == set(names)
        for variant, row in found["thieves"].items():
            assert list(row) == ["100", "1000", "6000", "60000"]
            tries = 1 if variant == "universal" else asked["tries"]
            for accuracies in row.values():
                assert len(accuracies) == tries
                hits = [accuracy * asked["judged"] for accuracy in accuracies]
                assert hits == pytest.approx([round(hit) for hit in hits], abs=1e-6)


def test_a_larger_gamma_makes_the_perturbation_fainter(record):
    sizes = [record["came_out"][owner]["psnr"] for owner in variants.GAMMAS]
    assert list(variants.GAMMAS.values()) == [0.01, 0.1, 1.0] and sizes == sorted(sizes)


def test_the_sweeps_hold_nothing_that_no_test_knows():
    unknown = [path.name for path in ap.experiments.SWEEPS.iterdir()
               if not (path.is_dir() and "=" in path.name) and path.name != variants.PLACE]
    assert unknown == []


def test_check_measures_the_stored_owner_again(monkeypatch, capsys):
    assert variants.check() is True
    said = capsys.readouterr().out
    assert "pair_variants.json, authorized: 9" in said and "differs" not in said
    monkeypatch.setattr(variants, "count_correct", lambda *given: 500)
    assert variants.check() is False
    assert capsys.readouterr().out.count("<- differs") == 2


def test_check_tells_of_a_damaged_record(monkeypatch, capsys, tmp_path):
    (tmp_path / variants.PLACE).write_text("{")
    monkeypatch.setattr(variants, "SWEEPS", tmp_path)
    assert variants.check() is False
    assert "truncated or no JSON" in capsys.readouterr().out


# ---- the thieves

class Half(ap.Transform):
    """Adds half of the image, and a constant."""

    def perturbation(self, x):
        return 0.5 * x + 0.1


def toy_pairs(count=20):
    raw = toy_split(count, side=28).images
    return raw, Half()(raw)


def test_the_universal_thief_takes_the_mean_of_all_differences():
    raw, processed = toy_pairs()
    guesses = variants.guessed(TinyCNN(), raw, processed, tries=3, universal=True)
    assert len(guesses) == 1
    delta = guesses.transforms[0].perturbation(raw)
    assert torch.allclose(delta, 0.5 * raw.mean(dim=0) + 0.1, atol=1e-6)


@pytest.mark.parametrize("passes, count, steps", [(1, 20, 1), (2, 20, 2), (1, 3, 1), (3, 160, 30)])
def test_passes_are_counted_in_batches(passes, count, steps, monkeypatch):
    asked = {}
    monkeypatch.setattr(variants.attacks, "pair", lambda *given, **more: asked.update(more))
    variants.guessed(TinyCNN(), *toy_pairs(count), tries=4, passes=passes, width=1)
    assert asked == {"steps": steps, "tries": 4, "batch_size": 16, "seed": 0, "width": 1}


@pytest.mark.parametrize("variant", variants.VARIANTS)
def test_each_variant_differs_in_one_thing(variant, monkeypatch):
    monkeypatch.setattr(variants.attacks, "imitate", lambda thief, *given: thief.eval())
    thief, = variants.guessed(TinyCNN(), *toy_pairs(), tries=1,
                              **variants.VARIANTS[variant]).transforms
    plain = ap.Generator(channels=1).settings()
    if variant == "universal":
        assert isinstance(thief, ap.Learned)
        return
    different = {name for name, value in thief.settings().items()
                 if name != "seed" and value != plain[name]}
    assert different == {"1 feature": {"width"}, "64 features": {"width"}, "clips": {"clip"},
                         "relu": {"activation"},
                         "fully connected": {"form", "width", "image_size"}}.get(variant, set())


# ---- making the record

@pytest.fixture
def tiny(monkeypatch):
    """Two owners of toy networks, and a data set of a few images."""
    torch.manual_seed(0)
    small = toy_set()
    sets = {"mini": small, "full": types.SimpleNamespace(
        train=small.train, validation=small.validation, sha256="full")}
    monkeypatch.setattr(variants.data, "load", lambda name, size="mini": sets[size])
    made = [(owner, TinyCNN().eval(), Half()) for owner in (variants.FULL, LARGE)]
    monkeypatch.setattr(variants, "owners", lambda small, done: [
        each for each in made if each[0] not in done])
    quick = {"as before": {"steps": 2}, "universal": {"universal": True}}
    monkeypatch.setattr(variants, "VARIANTS", quick)
    monkeypatch.setattr(variants, "OF_ALL_OWNERS", ("universal",))
    monkeypatch.setattr(variants, "JUDGED", 10)
    return small, made


def test_the_record_holds_every_try(tiny, tmp_path, capsys):
    small, made = tiny
    record = variants.run_variants(tmp_path, counts=(2, 60), tries=2)
    assert record == variants.pair_variants(tmp_path)
    asked, came_out = record["asked"], record["came_out"]
    assert (asked["pairs"], asked["tries"], asked["judged"]) == ([2, 60], 2, 10)
    assert asked["dataset_sha256"] == "full" and record["how"]["seconds"] >= 0
    full, large = came_out[variants.FULL], came_out[LARGE]
    assert large["thieves"].keys() == {"universal"}
    assert {count: len(tries) for count, tries in full["thieves"]["as before"].items()} == {
        "2": 2, "60": 2}
    _, net, transform = made[0]
    judged = small.test[:10]
    assert full["authorized"] == ap.accuracy(net, judged, transform)
    assert full["unauthorized"] == ap.accuracy(net, judged)
    raw = torch.cat([small.train.images, small.validation.images])
    for count in (2, 60):
        processed = transform(raw[:count])
        guesses = variants.guessed(net, raw[:count], processed, 1, universal=True)
        expected = ap.access(net, judged, guesses).accuracies
        assert full["thieves"]["universal"][str(count)] == list(expected)
    assert "full set, universal: " in capsys.readouterr().out


def test_an_owner_that_is_recorded_is_not_attacked_again(tiny, tmp_path, monkeypatch):
    small, made = tiny
    last = made.pop()
    first = variants.run_variants(tmp_path, counts=(2,), tries=1)
    made.append(last)
    attacked, guess = [], variants.guessed
    monkeypatch.setattr(variants, "guessed",
                        lambda net, *given, **more: attacked.append(net) or guess(
                            net, *given, **more))
    second = variants.run_variants(tmp_path, counts=(2,), tries=1)
    assert {id(net) for net in attacked} == {id(last[1])}
    assert list(second["came_out"]) == [variants.FULL, LARGE]
    assert second["came_out"][variants.FULL] == first["came_out"][variants.FULL]
    assert second["how"]["seconds"] >= first["how"]["seconds"]
    attacked.clear()
    assert variants.run_variants(tmp_path, counts=(2,), tries=1) == second and not attacked
    variants.run_variants(tmp_path, counts=(3,), tries=1)  # asked for in another way
    assert len({id(net) for net in attacked}) == 2


def test_the_same_twice(tiny, tmp_path):
    one, other = (variants.run_variants(tmp_path / name, counts=(2,), tries=1) for name in "ab")
    assert one["came_out"] == other["came_out"]


def test_thieves_are_told_by_the_number_of_pairs(tiny, tmp_path):
    row = variants.run_variants(tmp_path, counts=(2, 60), tries=2)["came_out"][variants.FULL]
    row = row["thieves"]["as before"]
    assert variants.thieves(folder=tmp_path)["as before"] == {
        2: pytest.approx(100 * statistics.fmean(row["2"])),
        60: pytest.approx(100 * statistics.fmean(row["60"]))}
    assert variants.thieves(what=max, folder=tmp_path)["as before"][2] == 100 * max(row["2"])
    assert variants.thieves(LARGE, folder=tmp_path).keys() == {"universal"}


def test_only_gamma_differs_between_the_small_owners(monkeypatch):
    asked = []
    monkeypatch.setattr(variants, "fit", lambda net, *sets, **more: asked.append((net, more)))
    found = list(variants.owners(toy_set()))
    assert [owner for owner, *_ in found] == [variants.FULL, *variants.GAMMAS]
    assert [more.pop("loss").gamma for _, more in asked] == [0.01, 0.1, 1.0]
    starts = [(state_of(net), state_of(more.pop("transform"))) for net, more in asked]
    for (_, more), start in zip(asked, starts, strict=True):
        assert more == asked[0][1]
        assert all(same(*each) for each in zip(start, starts[0], strict=True))
    assert not found[1][1].training and not found[1][2].training


def test_owners_that_are_done_are_not_trained(monkeypatch):
    monkeypatch.setattr(variants, "fit", lambda *given, **more: None)
    done = {variants.FULL, LARGE}
    found = [owner for owner, *_ in variants.owners(toy_set(), done)]
    assert found == list(variants.GAMMAS)[:2]


def test_a_missing_record_is_said(tmp_path):
    with pytest.raises(RecordError, match="no such record"):
        variants.thieves(folder=tmp_path)


def test_the_command_makes_what_is_missing(tiny, tmp_path, monkeypatch, capsys):
    made, run = [], variants.run_variants
    monkeypatch.setattr(variants, "run_variants",
                        lambda folder: made.append(run(folder, counts=(2,), tries=1)))
    for _ in range(2):  # the second time it is there
        assert main(["variants", "--folder", str(tmp_path)]) == 0
    assert made[0] == made[1]
    assert f"recorded in {tmp_path / variants.PLACE}" in capsys.readouterr().out
    assert json.loads((tmp_path / variants.PLACE).read_text()) == made[0]


def test_the_packages_own_record_is_only_read(capsys):
    assert main(["variants", "--folder", str(ap.experiments.SWEEPS)]) == 1
    assert "comes with the package and is only read" in capsys.readouterr().err
    with pytest.raises(RecordError, match="only read"):
        variants.run_variants(ap.experiments.SWEEPS)
