"""Records, weights, named runs, and what ships with the package."""

import dataclasses
import functools
import hashlib
import json
import math
import shutil
import statistics
import types

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from toys import same, state_of, toy_set

import apdnn_lite as ap
from apdnn_lite import evaluate, experiments
from apdnn_lite.experiments import RecordError

HOW = {"versions": {}, "seconds": 1.0}


# ---- records

@pytest.fixture
def written(tmp_path):
    path = tmp_path / "folder" / "seed0.json"
    record = experiments.write_record(path, {"seed": 0, "name": "σ"}, {"test": {"accuracy": {"correct": 17}}}, HOW)
    return path, record


def test_a_record_is_read_as_it_was_written(written):
    path, record = written
    assert experiments.read_record(path) == record
    assert record["asked"] == {"seed": 0, "name": "σ"} and record["how"] == HOW and record["format"] == experiments.FORMAT
    assert [file.name for file in path.parent.iterdir()] == ["seed0.json"]  # nothing half-written is left


def test_the_checksum_is_over_everything_else(written):
    _, record = written
    content = {name: value for name, value in record.items() if name != "sha256"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    assert record["sha256"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("before, after", [('"correct": 17', '"correct": 18'), ('"seed": 0', '"seed": 1'),
                                           ('"seconds": 1.0', '"seconds": 2.0')])
def test_an_altered_number_is_found(written, before, after):
    path, _ = written
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(RecordError, match="seed0.json was altered: its content has the SHA-256 .*, the file says"):
        experiments.read_record(path)


def test_a_record_without_a_checksum_is_refused(written):
    path, record = written
    path.write_text(json.dumps({name: value for name, value in record.items() if name != "sha256"}))
    with pytest.raises(RecordError, match="was altered"):
        experiments.read_record(path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 1, "asked"', b"\xff\xfe"])
def test_a_truncated_record_is_refused(written, content):
    written[0].write_bytes(content)
    with pytest.raises(RecordError, match="seed0.json is truncated or no JSON"):
        experiments.read_record(written[0])


@pytest.mark.parametrize("content, found", [('{"format": 99}', "99"), ("{}", "None"), ("[1]", "list"), ("3", "int")])
def test_another_format_is_refused(written, content, found):
    written[0].write_text(content)
    with pytest.raises(RecordError, match=f"expected a record of format {experiments.FORMAT}, found {found}"):
        experiments.read_record(written[0])


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(RecordError, match="seed7.json: no such record"):
        experiments.read_record(tmp_path / "seed7.json")


def test_a_number_that_is_none_is_not_recorded(written):
    path, record = written
    with pytest.raises(ValueError):
        experiments.write_record(path, {}, {"loss": float("nan")}, HOW)
    assert experiments.read_record(path) == record  # the old one is untouched


def test_the_environment_says_how(tmp_path):
    how = experiments.write_record(tmp_path / "a.json", {}, {})["how"]
    assert how["versions"]["torch"] == torch.__version__ and how["threads"] == torch.get_num_threads()
    assert {"python", "torch", "numpy"} <= how["versions"].keys()
    assert {"processor", "commit", "uncommitted_changes", "date"} <= how.keys()


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "")
    how = experiments.environment()
    assert how["commit"] is how["uncommitted_changes"] is None and how["threads"]


def test_a_share_holds_counts_and_the_interval():
    share = experiments.share(15, 148)  # Newcombe (1998): 0.0624 … 0.1605
    assert share == {"correct": 15, "images": 148, "accuracy": 15 / 148, "interval": list(ap.binomial_interval(15, 148))}
    assert share["interval"] == pytest.approx([0.0624, 0.1605], abs=6e-5)


def test_across_seeds():
    made = [{"came_out": {"test": {"authorized": {"accuracy": value}}}} for value in (0.8, 0.9, 0.7)]
    mean, sd, count = experiments.across_seeds(made)
    assert (mean, sd, count) == (pytest.approx(0.8), pytest.approx(0.1), 3)
    assert experiments.across_seeds(made[:1]) == (0.8, None, 1)
    assert str(experiments.across_seeds(made)) == "80.0 ± 10.0 (3 seeds)"
    assert str(experiments.across_seeds(made[:1])) == "80.0 (1 seed)"
    double = experiments.across_seeds(made, lambda record: 2 * record["came_out"]["test"]["authorized"]["accuracy"])
    assert (double.mean, double.sd, double.seeds) == (pytest.approx(1.6), pytest.approx(0.2), 3)


# ---- names

def test_names_are_paths():
    name = experiments.checked_name("fashion_mnist", "resnet20", "fixed", seed=3)
    assert str(name) == "fashion_mnist-mini/resnet20/fixed/seed3"
    assert experiments.record_path(name) == experiments.RECORDS / "fashion_mnist-mini" / "resnet20" / "fixed" / "seed3.json"


@pytest.mark.parametrize("arguments, message", [
    (("svhn", "resnet20", "fixed"), "unknown data set 'svhn': expected one of mnist, fashion_mnist, cifar10"),
    (("mnist", "vgg", "fixed"), "unknown network 'vgg': expected one of simple_cnn, resnet20"),
    (("mnist", "resnet20", "rot13"), "unknown transform 'rot13': expected one of baseline, fixed"),
    (("mnist", "resnet20", "fixed", "huge"), "unknown size 'huge': expected one of mini, full")])
def test_unknown_names_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        experiments.checked_name(*arguments)
    with pytest.raises(ValueError, match=message):
        ap.pretrained(*arguments)


# ---- runs, on 40 random images

@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run of each transform, its weights stored."""
    folder, small = tmp_path_factory.mktemp("records"), toy_set()
    recipe = experiments.Recipe(epochs=1, batch_size=20, crop=1, flip=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments.sets, "load", lambda *arguments: small)
        made = {transform: experiments.run(experiments.checked_name("fashion_mnist", "resnet20", transform), folder, "cpu",
                                           progress=False, keep_weights=True, recipe=recipe)
                for transform in experiments.TRANSFORMS}
    return folder, small, made, recipe


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of that folder that a test may damage."""
    return shutil.copytree(trained[0], tmp_path / "copy")


def test_a_record_names_the_code_that_was_there_when_its_run_began(monkeypatch, tmp_path):
    commits = iter(("at the start", "later"))
    monkeypatch.setattr(experiments, "environment", lambda: {"commit": next(commits)})
    monkeypatch.setattr(experiments.sets, "load", lambda *arguments: toy_set())
    record = experiments.run(experiments.checked_name("fashion_mnist", "resnet20", "fixed"), tmp_path, "cpu", progress=False,
                             recipe=experiments.Recipe(epochs=1, batch_size=20))
    assert record["how"]["commit"] == "at the start"


def test_a_record_says_what_was_asked(trained):
    _, small, made, recipe = trained
    for transform, record in made.items():
        asked = record["asked"]
        assert (asked["dataset"], asked["size"], asked["network"], asked["transform"], asked["seed"]) == (
            "fashion_mnist", "mini", "resnet20", transform, 0)
        assert asked["recipe"] == dataclasses.asdict(recipe) and asked["dataset_sha256"] == small.sha256
        assert asked["rounded_to_8_bits"] is False
    assert made["baseline"]["asked"]["settings"] is None
    assert made["fixed"]["asked"]["settings"]["clip"] is False
    assert made["fixed-clipped"]["asked"]["settings"] == {
        "kind": "Fixed", "clip": True, "shape": [1, 28, 28], "sigma": recipe.sigma, "p": recipe.p, "seed": 0}
    assert made["learned"]["asked"]["settings"]["kind"] == "Learned"
    generator = made["generator"]["asked"]["settings"]
    assert (generator["kind"], generator["width"], generator["activation"]) == ("Generator", 16, "tanh")


@pytest.mark.parametrize("transform", experiments.TRANSFORMS)
def test_a_record_says_what_came_out_and_the_weights_give_it_again(trained, transform):
    folder, small, made, _ = trained
    net, owner, record = ap.pretrained(transform=transform, size="mini", folder=folder)
    assert record == made[transform] and not net.training
    test = record["came_out"]["test"]
    expected = {"accuracy": None} if transform == "baseline" else {"authorized": owner, "unauthorized": None}
    assert test.keys() == expected.keys()
    for what, how in expected.items():
        assert test[what]["correct"] == evaluate.count_correct(net, small.test, how) and test[what]["images"] == 20
    assert len(record["came_out"]["validation"]) == 1
    if transform.startswith("fixed"):
        key = ap.Fixed((1, 28, 28), 0.1, 0.2, seed=0, clip=transform == "fixed-clipped")
        assert torch.equal(owner.key, key.key) and owner.clip == key.clip


def test_the_same_run_gives_the_same_weights_and_another_seed_others(trained, tmp_path, monkeypatch):
    folder, small, made, recipe = trained
    monkeypatch.setattr(experiments.sets, "load", lambda *arguments: small)
    name = experiments.checked_name("fashion_mnist", "resnet20", "fixed")
    again, other = (experiments.run(name._replace(seed=seed), tmp_path, "cpu", progress=False, keep_weights=True,
                                    recipe=recipe) for seed in (0, 1))
    assert again["came_out"] == made["fixed"]["came_out"]
    assert other["came_out"]["weights"]["sha256"] != made["fixed"]["came_out"]["weights"]["sha256"]
    assert not torch.equal(*(ap.pretrained(size="mini", seed=seed, folder=tmp_path).transform.key for seed in (0, 1)))


def test_without_keep_weights_the_record_has_none(trained, tmp_path, monkeypatch):
    _, small, _, recipe = trained
    monkeypatch.setattr(experiments.sets, "load", lambda *arguments: small)
    record = experiments.run(experiments.checked_name("fashion_mnist", "resnet20", "baseline"), tmp_path, "cpu",
                             progress=False, recipe=recipe)
    assert "weights" not in record["came_out"] and not list(tmp_path.rglob("*.safetensors"))
    with pytest.raises(RecordError, match="resnet20/baseline/seed0 is recorded, but its weights are not stored"):
        ap.pretrained(transform="baseline", size="mini", folder=tmp_path)


def test_a_run_stopped_with_ctrl_c_is_not_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments.sets, "load", lambda *arguments: toy_set())
    monkeypatch.setattr(experiments, "fit", lambda *arguments, **options: ap.History(interrupted=True))
    assert experiments.run(experiments.checked_name("fashion_mnist", "resnet20", "fixed"), tmp_path, "cpu") is None
    assert not list(tmp_path.iterdir())


def test_altered_weights_are_refused(folder):
    file = next(folder.glob("*/resnet20/fixed/*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RecordError, match="seed0.safetensors is altered or truncated: expected SHA-256 .*, found .* Restore"):
        ap.pretrained(size="mini", folder=folder)


def test_truncated_and_missing_weights_are_refused(folder):
    file = next(folder.glob("*/resnet20/fixed/*.safetensors"))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(RecordError, match=r"is altered or truncated.*\(1,000 bytes\)"):
        ap.pretrained(size="mini", folder=folder)
    file.unlink()
    with pytest.raises(RecordError, match="seed0.safetensors is missing"):
        ap.pretrained(size="mini", folder=folder)


def test_a_network_that_is_not_there_is_refused(folder):
    with pytest.raises(RecordError, match="seed5.json: no such record"):
        ap.pretrained(size="mini", seed=5, folder=folder)


def test_weights_are_no_pickle_and_hold_network_and_key(trained):
    file = next(trained[0].glob("*/resnet20/fixed/*.safetensors"))
    with safe_open(file, "pt") as opened:
        names = set(opened.keys())
    assert names == {f"net.{name}" for name in ap.ResNet20().state_dict()} | {"transform.key"}


@pytest.mark.parametrize("network", ["simple_cnn", "resnet20"])
def test_weights_are_the_network_bit_for_bit(tmp_path, network):
    net = experiments.build(network, 3, 10, 32)
    net.to(memory_format=torch.channels_last)
    weights = experiments.save_weights(tmp_path / "a" / "seed0.json", net, None)
    file = tmp_path / "a" / weights["file"]
    assert weights["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert same({name.removeprefix("net."): tensor for name, tensor in load_file(file).items()}, state_of(net))


def test_records_are_all_seeds_in_order(trained, tmp_path):
    asked = trained[2]["fixed"]["asked"]
    for seed in (10, 2, 0):
        name = experiments.checked_name("fashion_mnist", "resnet20", "fixed", seed=seed)
        experiments.write_record(experiments.record_path(name, tmp_path), {**asked, "seed": seed}, {}, HOW)
        experiments.write_record(experiments.record_path(name, tmp_path).with_suffix(".attacks.json"), {"seed": seed}, {}, HOW)
    find = lambda **options: [record["asked"]["seed"] for record in  # noqa: E731
                              ap.records("fashion_mnist", "resnet20", "fixed", folder=tmp_path, **options)]
    assert find() == find(attacks=True) == [0, 2, 10]
    assert all("dataset" not in record["asked"] for record in
               ap.records("fashion_mnist", "resnet20", "fixed", attacks=True, folder=tmp_path))
    with pytest.raises(RecordError, match="no record of fashion_mnist-mini/resnet20/baseline"):
        ap.records("fashion_mnist", "resnet20", "baseline", folder=tmp_path)
    with pytest.raises(ValueError, match="unknown network"):
        ap.records("fashion_mnist", "vgg", "fixed", folder=tmp_path)


@pytest.fixture
def attacked(folder, trained, monkeypatch):
    """Attacks on a stored run, with everything the thief was given noted; pairs of the 40 training images."""
    small, given = trained[1], []
    monkeypatch.setattr(experiments.sets, "load", lambda *arguments: small)
    monkeypatch.setattr(experiments, "PAIRS", (1, 3))
    for attack in ("direct", "brightness", "input_only", "climb", "pair", "pair_universal"):
        original = getattr(experiments.attacks, attack)
        monkeypatch.setattr(experiments.attacks, attack, lambda net, *rest, original=original, **options:
                            given.append((original.__name__, *rest)) or original(net, *rest, **options))
    imitate = experiments.attacks.imitate  # two steps instead of 500
    monkeypatch.setattr(experiments.attacks, "imitate", lambda thief, raw, processed, steps, *rest:
                        imitate(thief, raw, processed, 2, *rest))
    climb = experiments.attacks.raise_score  # and of 20
    monkeypatch.setattr(experiments.attacks, "raise_score", lambda net, images, thief, steps, *rest:
                        climb(net, images, thief, 2, *rest))

    def attack(transform):
        name = experiments.checked_name("fashion_mnist", "resnet20", transform)
        return experiments.run_attacks(name, folder, draws=2, tries=2, device="cpu"), given
    return attack


@pytest.mark.parametrize("transform, expected", [
    ("fixed-clipped", {"input_only": 2, "pair_1": 1, "pair_3": 1, "pair_4": 1, "pair_20": 1, "pair_40": 1}),
    ("learned", {"input_only": 2, "input_only_matched": 2, "pair_1": 1, "pair_3": 1, "pair_4": 1, "pair_20": 1,
                 "pair_40": 1}),
    ("generator", {"input_only": 2, "input_only_matched": 2} | {f"pair_{pairs}_width_{width}": 2 for width in (16, 64)
                                                                 for pairs in (1, 3, 4, 20, 40)})])
def test_attacks_are_recorded(attacked, folder, trained, transform, expected):
    record, _ = attacked(transform)
    assert ap.records("fashion_mnist", "resnet20", transform, attacks=True, folder=folder)[0]["sha256"] == record["sha256"]
    network, came_out = trained[2][transform], record["came_out"]
    assert record["asked"]["network_record_sha256"] == network["sha256"]
    assert record["asked"]["clip"] is (transform == "fixed-clipped")
    assert {attack: len(found["accuracies"]) for attack, found in came_out.items()} == {
        "direct": 1, "brightness": 17, "climb": 2, **expected}
    unauthorized = network["came_out"]["test"]["unauthorized"]["accuracy"]
    assert came_out["direct"]["accuracies"][0] == unauthorized
    shifts = came_out["brightness"]["shifts"]
    assert came_out["brightness"]["accuracies"][shifts.index(0.0)] == unauthorized and len(shifts) == 17
    for attack, found in came_out.items():
        assert found["picked"] == found["scores"].index(max(found["scores"])) and found["images"] == 20
        if attack.startswith("pair"):
            assert attack.split("_")[1] == str(found["pairs"])
    assert came_out["input_only"]["sigma"] == 0.1 and came_out["input_only"]["p"] == 0.2
    if transform != "fixed-clipped":
        rms = network["came_out"]["perturbation"]["rms"]
        assert came_out["input_only_matched"]["sigma"] == pytest.approx(rms / math.sqrt(0.4), rel=1e-5)
    if transform == "learned":  # one pair gives it away: then he is the owner
        assert came_out["pair_1"]["accuracies"][0] == network["came_out"]["test"]["authorized"]["accuracy"]


def test_against_a_faint_key_louder_ones_are_guessed_too(attacked, monkeypatch):
    monkeypatch.setattr(experiments, "THIEF_SIGMA", 0.3)
    came_out = attacked("fixed-clipped")[0]["came_out"]
    assert {attack: out["sigma"] for attack, out in came_out.items() if "sigma" in out and attack != "climb"} == {
        "input_only": 0.1, "input_only_loud": 0.3}
    assert came_out["input_only_loud"]["p"] == 0.2 and len(came_out["input_only_loud"]["accuracies"]) == 2


def test_a_finished_record_gets_the_attacks_that_it_lacks(attacked, folder):
    """As records have it that are older than an attack: nothing is run again, and each attack keeps its commit."""
    whole, _ = attacked("learned")
    path = experiments.record_path(experiments.name_of(whole), folder).with_suffix(".attacks.json")
    older = {attack: {key: value for key, value in out.items() if key != "commit"}
             for attack, out in whole["came_out"].items() if attack != "climb"}
    experiments.write_record(path, whole["asked"], older, whole["how"] | {"commit": "an older one", "seconds": 1000.0})
    again, given = attacked("learned")
    assert [name for name, *_ in given].count("climb") == 2 and [name for name, *_ in given].count("brightness") == 1
    commits = {attack: out.pop("commit") for attack, out in again["came_out"].items()}
    assert commits.pop("climb") == whole["how"]["commit"] and set(commits.values()) == {"an older one"}
    assert again["how"]["seconds"] > 1000 and not path.with_suffix(".unfinished").exists()
    assert {attack: out for attack, out in again["came_out"].items() if attack != "climb"} == older
    unchanged, _ = attacked("learned")
    assert unchanged["how"] == again["how"], "nothing was lacking"


def test_a_thief_of_a_recorded_attack_sees_the_validation_images_and_pairs_of_training_images_only(attacked, trained):
    small = trained[1]
    _, given = attacked("generator")
    owner = ap.pretrained(transform="generator", size="mini", folder=trained[0]).transform
    assert {name for name, *_ in given} == {"direct", "brightness", "input_only", "climb", "pair"}
    for name, images, *rest in given:
        assert torch.equal(images, small.validation.images)
        if name == "pair":
            raw, processed = rest[:2]
            assert torch.equal(raw, small.train.images[:len(raw)])
            torch.testing.assert_close(processed, owner(raw).detach())


def test_one_recipe_a_network_but_for_the_named_exceptions():
    recipes = {transform: experiments.recipe_of(experiments.checked_name("fashion_mnist", "resnet20", transform))
               for transform in experiments.TRANSFORMS}
    assert recipes.pop("generator") == dataclasses.replace(experiments.RECIPES["resnet20"], transform_lr=1e-3)
    assert set(recipes.values()) == {experiments.RECIPES["resnet20"]}
    for transform in experiments.TRANSFORMS:
        name = experiments.checked_name("mnist", "simple_cnn", transform)
        assert experiments.recipe_of(name) == experiments.RECIPES["simple_cnn"]


# ---- sweeps

def test_a_sweep_records_each_value_once_and_leaves_the_test_set_alone(tmp_path, trained, monkeypatch):
    small = trained[1]
    untested = types.SimpleNamespace(**{what: getattr(small, what) for what in ("train", "validation", "classes", "sha256")})
    monkeypatch.setattr(experiments.sets, "load", lambda *arguments: untested)  # has no test set to look at
    monkeypatch.setitem(experiments.RECIPES, "simple_cnn", experiments.Recipe(epochs=1, batch_size=20))
    name = experiments.checked_name("fashion_mnist", "simple_cnn", "learned", seed=1)
    sweep = lambda *values: list(experiments.sweep(name, "gamma", values, tmp_path, "cpu", progress=False))  # noqa: E731
    first = sweep(0.01, 1.0)
    assert [record["asked"]["recipe"]["gamma"] for record in first] == [0.01, 1.0]
    for record in first:
        assert record["came_out"].keys() == {"validation", "perturbation"} and record["asked"]["seed"] == 1
        assert record["asked"]["recipe"]["precision"] in ap.training.PRECISIONS[1:]
        assert record["came_out"]["perturbation"].keys() == {"squared_norm", "largest", "rms", "psnr"}
    monkeypatch.setattr(experiments, "fit", None)  # what is recorded is not trained again
    assert sweep(1.0, 0.01) == first[::-1]
    assert {path.parent.name for path in tmp_path.rglob("seed1.json")} == {"learned"}
    found = ap.records("fashion_mnist", "simple_cnn", "learned", folder=experiments.sweep_folder("gamma", 1.0, tmp_path))
    assert found == first[1:]
    monkeypatch.setitem(experiments.RECIPES, "simple_cnn", experiments.Recipe(epochs=2, batch_size=20, sigma=0.3))
    with pytest.raises(experiments.RecordError, match=r"when the recipe was another \({'epochs': 1}\).*in gamma alone"):
        sweep(1.0)  # σ is no matter of a learned transform


def test_a_sweep_with_a_fixed_key_is_attacked_by_guessing_at_the_same_strength(tmp_path, trained, monkeypatch):
    small, judged, guess = trained[1], [], ap.attacks.input_only
    monkeypatch.setattr(experiments.sets, "load", lambda *arguments: types.SimpleNamespace(
        train=small.train, validation=small.validation, classes=small.classes, sha256=small.sha256))
    monkeypatch.setitem(experiments.RECIPES, "simple_cnn", experiments.Recipe(epochs=1, batch_size=20))

    def spy(net, images, *arguments):
        guesses = guess(net, images, *arguments)
        judged.append([ap.accuracy(net, small.validation, each) for each in guesses.transforms])
        assert {(each.sigma, each.p) for each in guesses.transforms} == {(0.3, 0.2)}
        assert all(each.clip for each in guesses.transforms), "the owner clips, and the thief knows"
        return guesses

    monkeypatch.setattr(experiments.attacks, "input_only", spy)
    name = experiments.checked_name("fashion_mnist", "simple_cnn", "fixed-clipped")
    record, = experiments.sweep(name, "sigma", [0.3], tmp_path, "cpu", progress=False)
    assert [record["came_out"]["guessed_keys"]] == judged and len(judged[0]) == experiments.SWEEP_DRAWS


def test_a_sweep_over_what_recipes_do_not_have_is_refused():
    name = experiments.checked_name("fashion_mnist", "simple_cnn", "learned")
    with pytest.raises(ValueError, match="unknown setting 'colour': expected one of activation, alpha"):
        next(experiments.sweep(name, "colour", [1]))


def test_a_plain_network_has_no_transform_to_attack(folder):
    with pytest.raises(ValueError, match="baseline/seed0 is a plain network: there is no transform to attack"):
        experiments.run_attacks(experiments.checked_name("fashion_mnist", "resnet20", "baseline"), folder, device="cpu")


def test_image_shapes_are_those_of_the_sets():
    assert experiments.image_shape("cifar10") == (3, 32, 32)
    assert experiments.image_shape("mnist") == experiments.image_shape("fashion_mnist") == tuple(
        ap.load("fashion_mnist").train.images.shape[1:])


# ---- what ships with the package

@pytest.mark.parametrize("transform, ignored", [("baseline", "gamma"), ("fixed", "gamma"), ("learned", "sigma"), ("generator", "p")])
def test_what_has_no_effect_on_a_run_is_no_departure_of_it(transform, ignored):
    name = experiments.checked_name("fashion_mnist", "resnet20", transform)
    asked = dataclasses.asdict(experiments.recipe_of(name))
    find = lambda **changes: experiments.departures({"asked": {**name._asdict(), "recipe": asked | changes}})  # noqa: E731
    assert find() == find(**{ignored: 7}) == find(precision="bfloat16") == {}
    assert find(epochs=7) == {"epochs": 7}
    has_effect = {"baseline": "crop", "fixed": "sigma", "learned": "gamma", "generator": "generator_start"}[transform]
    assert find(**{has_effect: 7}) == {has_effect: 7}


def test_a_record_older_than_a_setting_had_its_default(monkeypatch):
    name = experiments.checked_name("mnist", "simple_cnn", "generator", "full")
    older = {"asked": {**name._asdict(), "recipe": {"epochs": 8}}}
    for now, expected in ((1.0, {}), (0.1, {"generator_start": 1.0})):
        monkeypatch.setitem(experiments.FULL_RECIPES, ("mnist", "simple_cnn"), experiments.Recipe(generator_start=now))
        assert experiments.departures(older) == expected


def test_the_recorded_runs_are_those_of_the_recipes():
    for record in experiments.all_records():
        assert experiments.departures(record) == {}, experiments.name_of(record)
    for folder in experiments.SWEEPS.iterdir():
        for record in experiments.all_records(folder):
            setting = folder.name.partition("=")[0]
            asked = dataclasses.asdict(experiments.Recipe()) | record["asked"]["recipe"]  # older records lack a setting
            assert folder.name == f"{setting}={asked[setting]}", experiments.name_of(record)


SHIPPED = sorted(path for folder in (experiments.RECORDS, experiments.SWEEPS) for path in folder.rglob("seed*.json"))
NETWORKS = [(path, what) for path in SHIPPED if path.with_suffix(".safetensors").exists()
            for what in experiments.read_record(path)["came_out"]["test"]]


def shipped_name(path):
    return str(path.relative_to(experiments.ASSETS).with_suffix(""))


def folder_of(path):
    """The folder in which a record lies under its name: that of the records, or of one sweep."""
    return path.parents[3]


@functools.cache
def full_test(dataset):
    """The test images of a full set, where it is at hand."""
    try:
        return ap.load(dataset, size="full").test
    except ap.DataError:
        pytest.skip(f"the full set {dataset} is not at hand")


@pytest.fixture(scope="module")
def mini():
    return ap.load("fashion_mnist")


def test_trained_networks_are_shipped():
    assert {path.parts[-3] for path, _ in NETWORKS} >= {"resnet20"}, f"no trained ResNet-20 in {experiments.RECORDS}"


def test_every_weight_file_has_a_record():
    assert [path for path in experiments.ASSETS.rglob("seed*.safetensors") if path.with_suffix(".json") not in SHIPPED] == []


@pytest.mark.parametrize("path", SHIPPED, ids=shipped_name)
def test_a_shipped_record_is_whole_and_lies_where_its_name_says(path, mini):
    record = experiments.read_record(path)
    asked, came_out = record["asked"], record["came_out"]
    name = experiments.checked_name(*(asked[part] for part in ("dataset", "network", "transform", "size", "seed")))
    attack = path.name.endswith(".attacks.json")
    expected = experiments.record_path(name, folder_of(path))
    assert path == (expected.with_suffix(".attacks.json") if attack else expected)
    if attack:
        assert asked["network_record_sha256"] == experiments.read_record(expected)["sha256"]
        for found in came_out.values():
            assert found["picked"] == found["scores"].index(max(found["scores"]))
        return
    if (asked["dataset"], asked["size"]) == ("fashion_mnist", "mini"):
        assert asked["dataset_sha256"] == mini.sha256
    assert ("weights" in came_out) == path.with_suffix(".safetensors").exists()
    assert "test" in came_out or experiments.SWEEPS in path.parents
    for found in came_out.get("test", {}).values():
        assert found["accuracy"] == found["correct"] / found["images"]
        assert found["interval"] == pytest.approx(ap.binomial_interval(found["correct"], found["images"]))


@pytest.mark.parametrize("path, what", NETWORKS, ids=lambda value: value if isinstance(value, str) else shipped_name(value))
def test_a_shipped_network_gets_as_many_right_as_its_record_says(path, what, mini):
    asked, came_out = (experiments.read_record(path)[part] for part in ("asked", "came_out"))
    if asked["dataset"] == "fashion_mnist":  # its mini set is always at hand
        test, recorded = mini.test, came_out["test" if asked["size"] == "mini" else "mini_test"][what]
    else:
        test, recorded = full_test(asked["dataset"]), came_out["test"][what]
    net, transform, _ = ap.pretrained(asked["dataset"], asked["network"], asked["transform"], asked["size"], asked["seed"], folder_of(path))
    found = evaluate.count_correct(net, test, None if what == "unauthorized" else transform)
    assert recorded["images"] == len(test)
    assert abs(found - recorded["correct"]) <= 2  # rounding differs between processors


def test_the_average_over_shipped_seeds_is_that_of_their_counts():
    networks = {(path.parts[-3], path.parts[-2]) for path, _ in NETWORKS
                if folder_of(path) == experiments.RECORDS and path.parts[-4] == "fashion_mnist-mini"}
    for network, transform in networks:
        made = ap.records("fashion_mnist", network, transform)
        what = "accuracy" if transform == "baseline" else "authorized"
        shares = [record["came_out"]["test"][what]["correct"] / record["came_out"]["test"][what]["images"] for record in made]
        mean, sd, count = experiments.across_seeds(made, what)
        assert (mean, count) == (pytest.approx(statistics.fmean(shares)), len(made))
        assert sd is None if count == 1 else math.isclose(sd, statistics.stdev(shares))
