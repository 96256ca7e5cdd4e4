"""Named runs and their weights, attacks on them, sweeps, and what ships with the package."""

import dataclasses
import functools
import hashlib
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
from apdnn_lite import _files, data, evaluate, experiments
from apdnn_lite.experiments import Archive, RecordError, runs, tables, thief, weights

HOW = {"versions": {}, "seconds": 1.0}


# ---- runs, on 40 random images

@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run of each transform, its weights stored."""
    folder, small = tmp_path_factory.mktemp("records"), toy_set()
    recipe = experiments.Recipe(epochs=1, batch_size=20, crop=1, flip=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda *arguments: small)
        made = {transform: experiments.run(named(transform), folder, "cpu", progress=False,
                                           keep_weights=True, recipe=recipe)
                for transform in experiments.TRANSFORMS}
    return folder, small, made, recipe


def named(transform, seed=0, network="resnet20"):
    return experiments.checked_name("fashion_mnist", network, transform, seed=seed)


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of that folder that a test may damage."""
    return shutil.copytree(trained[0], tmp_path / "copy")


@pytest.fixture
def toy(monkeypatch):
    """The data set of a run is a toy."""
    small = toy_set()
    monkeypatch.setattr(data, "load", lambda *arguments: small)
    return small


QUICK = experiments.Recipe(epochs=1, batch_size=20)


def test_a_record_names_the_code_that_was_there_when_its_run_began(monkeypatch, tmp_path, toy):
    commits = iter(("at the start", "later"))
    monkeypatch.setattr(runs, "environment", lambda: {"commit": next(commits)})
    record = experiments.run(named("fixed"), tmp_path, "cpu", progress=False, recipe=QUICK)
    assert record["how"]["commit"] == "at the start"


def test_a_record_says_what_was_asked(trained):
    _, small, made, recipe = trained
    for transform, record in made.items():
        asked = record["asked"]
        assert [asked[part] for part in ("dataset", "size", "network", "transform", "seed")] == [
            "fashion_mnist", "mini", "resnet20", transform, 0]
        assert asked["recipe"] == {setting: getattr(recipe, setting)
                                   for setting in experiments.SETTINGS}
        assert asked["dataset_sha256"] == small.sha256 and asked["rounded_to_8_bits"] is False
    assert made["baseline"]["asked"]["settings"] is None
    assert made["fixed"]["asked"]["settings"]["clip"] is False
    assert made["fixed-clipped"]["asked"]["settings"] == {
        "kind": "Fixed", "clip": True, "shape": [1, 28, 28], "sigma": recipe.sigma, "p": recipe.p,
        "seed": 0}
    assert made["learned"]["asked"]["settings"]["kind"] == "Learned"
    generator = made["generator"]["asked"]["settings"]
    assert (generator["kind"], generator["width"], generator["activation"]) == (
        "Generator", 16, "tanh")


@pytest.mark.parametrize("transform", experiments.TRANSFORMS)
def test_a_record_says_what_came_out_and_the_weights_give_it_again(trained, transform):
    folder, small, made, _ = trained
    net, owner, record = ap.pretrained(transform=transform, size="mini", folder=folder)
    assert record == made[transform] and not net.training
    assert owner is None or not owner.training
    test = record["came_out"]["test"]
    expected = {"authorized": owner, "unauthorized": None}
    if transform == "baseline":
        expected = {"accuracy": None}
    assert test.keys() == expected.keys()
    for what, how in expected.items():
        assert test[what]["correct"] == evaluate.count_correct(net, small.test, how)
        assert test[what]["images"] == 20
    assert len(record["came_out"]["validation"]) == 1
    if transform.startswith("fixed"):
        key = ap.Fixed((1, 28, 28), 0.1, 0.2, seed=0, clip=transform == "fixed-clipped")
        assert torch.equal(owner.key, key.key) and owner.clip == key.clip


def test_the_same_run_gives_the_same_weights_and_another_seed_others(trained, tmp_path, toy):
    _, _, made, recipe = trained
    again, other = (experiments.run(named("fixed", seed), tmp_path, "cpu", progress=False,
                                    keep_weights=True, recipe=recipe) for seed in (0, 1))
    assert again["came_out"] == made["fixed"]["came_out"]
    weights_of = [record["came_out"]["weights"]["sha256"] for record in (again, other)]
    assert weights_of[0] != weights_of[1]
    keys = [ap.pretrained(size="mini", seed=seed, folder=tmp_path).transform.key
            for seed in (0, 1)]
    assert not torch.equal(*keys)


def test_without_keep_weights_the_record_has_none(tmp_path, toy):
    record = experiments.run(named("baseline"), tmp_path, "cpu", progress=False, recipe=QUICK)
    assert "weights" not in record["came_out"] and not list(tmp_path.rglob("*.safetensors"))
    with pytest.raises(RecordError, match="resnet20/baseline/seed0 is recorded, but its weights "
                                          "are not stored"):
        ap.pretrained(transform="baseline", size="mini", folder=tmp_path)


def test_a_run_stopped_with_ctrl_c_is_not_recorded(tmp_path, monkeypatch, toy):
    monkeypatch.setattr(runs, "fit", lambda *arguments, **options: ap.History(interrupted=True))
    assert experiments.run(named("fixed"), tmp_path, "cpu") is None
    assert not list(tmp_path.iterdir())


def test_a_run_whose_key_changes_nothing_is_recorded(tmp_path, toy):
    recipe = dataclasses.replace(QUICK, p=1e-9)  # of 784 pixels none
    came_out = experiments.run(named("fixed"), tmp_path, "cpu", progress=False,
                               recipe=recipe)["came_out"]
    assert came_out["perturbation"] == {"squared_norm": 0.0, "largest": 0.0, "rms": 0.0,
                                        "psnr": None}


@pytest.mark.parametrize("wrong", [{"archive": experiments.RECORDS}, {"device": "nonsense"}])
def test_what_cannot_be_recorded_is_not_trained(tmp_path, monkeypatch, toy, wrong):
    monkeypatch.setattr(runs, "fit", None)
    with pytest.raises(ValueError, match="only read|no device 'nonsense' here"):
        experiments.run(named("fixed"), **{"archive": tmp_path, "device": "cpu"} | wrong)


def test_by_default_a_run_is_recorded_among_the_users_own(tmp_path, monkeypatch, toy):
    monkeypatch.setattr(_files, "data_folder", lambda: tmp_path)
    record = experiments.run(named("fixed"), device="cpu", progress=False, recipe=QUICK)
    assert Archive(tmp_path / "records").read(named("fixed")) == record


def test_the_checkpoint_of_a_run_stays_until_its_record_is_written(tmp_path, monkeypatch, toy):
    monkeypatch.setattr(_files, "cache_folder", lambda: tmp_path / "cache")
    name, archive = named("fixed"), Archive(tmp_path / "records")
    checkpoint = runs.checkpoint_path(name, QUICK)
    assert checkpoint.name == "fashion_mnist-mini-resnet20-fixed-seed0-1.safetensors"
    assert runs.checkpoint_path(name, QUICK, "p=0.1").stem == checkpoint.stem + "-p=0.1"

    def full(*_, **__):
        raise RecordError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "write", full)
        with pytest.raises(RecordError, match="the disk is full"):
            experiments.run_to_the_end(name, archive, "cpu", QUICK, progress=False)
    assert checkpoint.exists()
    trained_again = []
    monkeypatch.setattr(ap.Augment, "__call__", lambda *_: trained_again.append(1))
    record = experiments.run_to_the_end(name, archive, "cpu", QUICK, progress=False)
    assert record == archive.read(name) and not trained_again and not checkpoint.exists()


def test_another_process_may_have_removed_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(runs, "run", lambda *_, **__: "the record")
    assert experiments.run_to_the_end(named("fixed"), tmp_path, "cpu") == "the record"


def test_where_no_checkpoint_can_be_written_nothing_is_trained(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(_files, "cache_folder", lambda: tmp_path / "file")
    monkeypatch.setattr(runs, "run", None)
    with pytest.raises(RecordError, match="no checkpoint can be written to .*file.checkpoints"):
        experiments.run_to_the_end(named("fixed"), tmp_path, "cpu")


# ---- weights

def damage(folder, change, transform="fixed"):
    """Write the record of a run again with something changed in it."""
    archive = Archive(folder)
    record = archive.read(named(transform))
    change(record)
    return experiments.write_record(archive.path(named(transform)), record["asked"],
                                    record["came_out"], record["how"])


def test_altered_weights_are_refused(folder):
    file = next(folder.glob("*/resnet20/fixed/*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RecordError, match="seed0.safetensors is altered or truncated: expected "
                                          "SHA-256 .*, found .* Restore"):
        ap.pretrained(size="mini", folder=folder)


def test_truncated_and_missing_weights_are_refused(folder):
    file = next(folder.glob("*/resnet20/fixed/*.safetensors"))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(RecordError, match=r"is altered or truncated.*\(1,000 bytes\)"):
        ap.pretrained(size="mini", folder=folder)
    file.unlink()
    with pytest.raises(RecordError, match="seed0.safetensors is missing"):
        ap.pretrained(size="mini", folder=folder)


def test_weights_that_are_none_are_refused_though_their_record_names_them(folder):
    file = next(folder.glob("*/resnet20/fixed/*.safetensors"))
    file.write_bytes(b"no weights")
    damage(folder, lambda record: record["came_out"]["weights"].update(
        sha256=hashlib.sha256(b"no weights").hexdigest()))
    with pytest.raises(RecordError, match="seed0.safetensors is no safetensors file"):
        ap.pretrained(size="mini", folder=folder)


def test_a_network_that_is_not_there_is_refused(folder):
    with pytest.raises(RecordError, match="seed5.json: no such record"):
        ap.pretrained(size="mini", seed=5, folder=folder)


@pytest.mark.parametrize("settings", [
    {"kind": "Learned", "clip": False, "shape": [1, 28, 28], "sigma": 0.01, "seed": 0},
    {"kind": "Fixed", "clip": True, "shape": [1, 28, 28], "sigma": 0.1, "p": 0.2, "seed": 0},
    {"kind": "Rot13", "clip": False}, {}, None, [1], {"kind": "Fixed", "clip": False},
    {"kind": "Fixed", "clip": False, "shape": [1, 28, 28], "sigma": 0.1, "p": 0.2, "secret": 1},
    {"kind": "Fixed", "clip": False, "shape": [3, 32, 32], "sigma": 0.1, "p": 0.2},
    {"kind": "Fixed", "clip": False, "shape": [1, 28], "sigma": 0.1, "p": 0.2}])
def test_a_transform_that_is_not_the_one_of_the_name_is_refused(folder, settings):
    damage(folder, lambda record: record["asked"].update(settings=settings))
    with pytest.raises(RecordError, match="fixed.seed0.json and its weights do not fit together"):
        ap.pretrained(size="mini", folder=folder)


def test_a_baseline_with_a_transform_is_refused(folder):
    damage(folder, lambda record: record["asked"].update(settings={"kind": "Fixed"}), "baseline")
    with pytest.raises(RecordError, match="a baseline has no transform"):
        ap.pretrained(transform="baseline", size="mini", folder=folder)


def test_a_record_and_weights_of_another_run_are_refused(folder):
    """A learned lock in the place of a fixed one."""
    source, target = (Archive(folder).path(named(each)) for each in ("learned", "fixed"))
    for suffix in (".json", ".safetensors"):
        shutil.copy(source.with_suffix(suffix), target.with_suffix(suffix))
    with pytest.raises(RecordError, match="it is the record of .*resnet20/learned/seed0"):
        ap.pretrained(size="mini", folder=folder)


def test_weights_of_another_network_are_refused(folder, tmp_path):
    other = weights.save_weights(tmp_path / "seed0.safetensors", ap.SimpleCNN(), None)
    file = Archive(folder).weights(named("baseline"))
    shutil.copy(tmp_path / "seed0.safetensors", file)
    damage(folder, lambda record: record["came_out"].update(weights=other), "baseline")
    with pytest.raises(RecordError, match="do not fit together"):
        ap.pretrained(transform="baseline", size="mini", folder=folder)


def test_weights_are_no_pickle_and_hold_network_and_key(trained):
    file = next(trained[0].glob("*/resnet20/fixed/*.safetensors"))
    with safe_open(file, "pt") as opened:
        names = set(opened.keys())
    assert names == {f"net.{name}" for name in ap.ResNet20().state_dict()} | {"transform.key"}


@pytest.mark.parametrize("network", ["simple_cnn", "resnet20"])
def test_weights_are_the_network_rounded_to_half_and_no_more(tmp_path, network):
    net = experiments.build(network, 3, 10, 32)
    net.to(memory_format=torch.channels_last)
    stored = experiments.save_weights(tmp_path / "a" / "seed0.safetensors", net, None)
    file = tmp_path / "a" / stored["file"]
    assert stored["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    found = {name.removeprefix("net."): tensor for name, tensor in load_file(file).items()}
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor
              for name, tensor in state_of(net).items()}
    assert same(found, halved) and stored["stored_as"] == "float16"


@pytest.fixture
def in_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("transform", experiments.TRANSFORMS)
def test_a_network_loads_as_its_file_has_it_whatever_the_default_type(trained, in_float64,
                                                                     transform):
    net, owner, record = ap.pretrained(transform=transform, size="mini", folder=trained[0])
    modules = [module for module in (net, owner) if module is not None]
    tensors = [tensor for module in modules for tensor in module.state_dict().values()]
    assert {tensor.dtype for tensor in tensors} <= {torch.float32, torch.int64}
    found = evaluate.count_correct(net, trained[1].test, owner)
    what = "accuracy" if owner is None else "authorized"
    assert found == record["came_out"]["test"][what]["correct"]


@pytest.mark.parametrize("transform", experiments.TRANSFORMS)
def test_loading_a_network_draws_nothing_random_and_leaves_it_contiguous(trained, transform):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    net = ap.pretrained(transform=transform, size="mini", folder=trained[0]).net
    assert torch.equal(torch.rand(1), expected)
    assert all(parameter.is_contiguous() and parameter.requires_grad
               for parameter in net.parameters())
    features = []
    net.stage3.register_forward_hook(lambda module, given, made: features.append(made))
    net(torch.rand(4, 1, 28, 28))
    assert features[0].view(4, -1).shape == (4, 64 * 7 * 7)


# ---- attacks

@pytest.fixture
def attacked(folder, trained, monkeypatch):
    """Attacks on a stored run, with all that the thief was given noted; pairs of 40 images."""
    small, given = trained[1], []
    monkeypatch.setattr(data, "load", lambda *arguments: small)
    monkeypatch.setattr(thief, "PAIRS", (1, 3))

    def note(original):
        def noted(net, *rest, **options):
            given.append((original.__name__, *rest))
            return original(net, *rest, **options)
        return noted

    for attack in ("direct", "brightness", "input_only", "climb", "pair", "pair_universal"):
        monkeypatch.setattr(ap.attacks, attack, note(getattr(ap.attacks, attack)))
    imitate, climb = ap.attacks.imitate, ap.attacks.raise_score  # two steps, not 500 or 20

    def imitate_a_little(thief, raw, processed, steps, *rest):
        return imitate(thief, raw, processed, 2, *rest)

    def climb_a_little(net, images, thief, steps, *rest):
        return climb(net, images, thief, 2, *rest)

    monkeypatch.setattr(ap.attacks, "imitate", imitate_a_little)
    monkeypatch.setattr(ap.attacks, "raise_score", climb_a_little)

    def attack(transform, draws=2):
        return experiments.run_attacks(named(transform), folder, draws, 2, "cpu"), given
    return attack


PAIRS = {"pair_1": 1, "pair_3": 1, "pair_4": 1, "pair_20": 1, "pair_40": 1}


@pytest.mark.parametrize("transform, expected", [
    ("fixed-clipped", {"input_only": 2, **PAIRS}),
    ("learned", {"input_only": 2, "input_only_matched": 2, **PAIRS}),
    ("generator", {"input_only": 2, "input_only_matched": 2}
     | {f"{pairs}_width_{width}": 2 for width in (16, 64) for pairs in PAIRS})])
def test_attacks_are_recorded(attacked, folder, trained, transform, expected):
    record, _ = attacked(transform)
    run = ("fashion_mnist", "resnet20", transform)
    assert ap.records(*run, attacks=True, folder=folder) == [record]
    network, came_out = trained[2][transform], record["came_out"]
    assert record["asked"]["network_record_sha256"] == network["sha256"]
    assert record["asked"]["clip"] is (transform == "fixed-clipped")
    assert {attack: len(found["accuracies"]) for attack, found in came_out.items()} == {
        "direct": 1, "brightness": 17, "climb": 2, **expected}
    unauthorized = network["came_out"]["test"]["unauthorized"]["accuracy"]
    assert came_out["direct"]["accuracies"][0] == unauthorized
    shifts = came_out["brightness"]["shifts"]
    assert came_out["brightness"]["accuracies"][shifts.index(0.0)] == unauthorized
    assert len(shifts) == 17
    for attack, found in came_out.items():
        assert found["picked"] == found["scores"].index(max(found["scores"]))
        assert found["images"] == 20
        if attack.startswith("pair"):
            assert attack.split("_")[1] == str(found["pairs"])
        result = thief.result_of(found)
        assert tables.mean(found) == result.mean == statistics.fmean(found["accuracies"])
        assert tables.best(found) == result.best == max(found["accuracies"])
        assert tables.picked(found) == result.picked == found["accuracies"][found["picked"]]
    assert came_out["input_only"]["sigma"] == 0.1 and came_out["input_only"]["p"] == 0.2
    if transform != "fixed-clipped":
        rms = network["came_out"]["perturbation"]["rms"]
        assert came_out["input_only_matched"]["sigma"] == pytest.approx(rms / math.sqrt(0.4),
                                                                        rel=1e-5)
    if transform == "learned":  # one pair gives it away: then the thief is the owner
        authorized = network["came_out"]["test"]["authorized"]["accuracy"]
        assert came_out["pair_1"]["accuracies"][0] == authorized


def test_against_a_faint_key_stronger_ones_are_guessed_too(attacked, monkeypatch):
    monkeypatch.setattr(thief, "THIEF_SIGMA", 0.3)
    came_out = attacked("fixed-clipped")[0]["came_out"]
    assert {attack: out["sigma"] for attack, out in came_out.items()
            if "sigma" in out and attack != "climb"} == {"input_only": 0.1, "input_only_loud": 0.3}
    loud = came_out["input_only_loud"]
    assert loud["p"] == 0.2 and len(loud["accuracies"]) == 2


def test_a_finished_record_gets_the_attacks_that_it_lacks(attacked, folder):
    """As records have it that are older than an attack: nothing is run again."""
    whole, _ = attacked("learned")
    path = Archive(folder).path(named("learned"), attacks=True)
    older = {attack: {key: value for key, value in out.items() if key != "commit"}
             for attack, out in whole["came_out"].items() if attack != "climb"}
    experiments.write_record(path, whole["asked"], older,
                             whole["how"] | {"commit": "an older one", "seconds": 1000.0})
    again, given = attacked("learned")
    attacks = [name for name, *_ in given]
    assert attacks.count("climb") == 2 and attacks.count("brightness") == 1
    commits = {attack: out.pop("commit") for attack, out in again["came_out"].items()}
    assert commits.pop("climb") == whole["how"]["commit"]
    assert set(commits.values()) == {"an older one"}
    assert again["how"]["seconds"] > 1000 and not list(folder.rglob("*.unfinished"))
    assert {attack: out for attack, out in again["came_out"].items() if attack != "climb"} == older
    unchanged, _ = attacked("learned")
    assert unchanged["how"] == again["how"], "nothing was lacking"


def test_what_is_left_of_other_attacks_changes_no_record(attacked, folder):
    whole, _ = attacked("learned")
    path = Archive(folder).path(named("learned"), attacks=True)
    left = path.with_suffix(".unfinished")
    experiments.write_record(left, whole["asked"] | {"draws": 3}, {}, whole["how"])
    assert attacked("learned")[0] == whole
    assert attacked("learned", draws=1)[0]["asked"]["draws"] == 1, "the new ones replace it"


def test_attacks_that_another_process_finished_first_are_recorded(attacked, folder, monkeypatch):
    """It has put the unfinished file in its place, so that there is none any more."""
    left = Archive(folder).path(named("learned"), attacks=True).with_suffix(".unfinished")
    write = Archive.write

    def write_and_lose(self, *arguments, **options):
        left.unlink()
        return write(self, *arguments, **options)

    monkeypatch.setattr(Archive, "write", write_and_lose)
    record, _ = attacked("learned")
    assert Archive(folder).read(named("learned"), attacks=True) == record


def test_attacks_on_a_network_behind_are_recorded_in_front(attacked, folder, tmp_path):
    behind = Archive(folder)
    archive = Archive(tmp_path / "own", behind)
    record = experiments.run_attacks(named("learned"), archive, 2, 2, "cpu")
    assert archive.path(named("learned"), attacks=True).exists()
    assert not list(folder.rglob("*.attacks.*"))
    assert archive.read(named("learned"), attacks=True) == record


@pytest.mark.parametrize("options", [{"draws": 0}, {"tries": 0}, {"draws": 1.5},
                                     {"device": "nonsense"}])
def test_attacks_that_cannot_be_run_are_refused_before_any_is(attacked, folder, options):
    with pytest.raises(ValueError, match="must be a whole number, 1 or more|no device 'nonsense'"):
        experiments.run_attacks(named("learned"), folder, **{"device": "cpu"} | options)
    assert not list(folder.rglob("*.unfinished"))


def test_a_score_that_is_no_number_is_recorded_as_null(attacked, monkeypatch, folder):
    nan = ap.Candidates([ap.Identity(), ap.Identity()], [float("nan"), 0.5])
    monkeypatch.setattr(ap.attacks, "climb", lambda *_, **__: nan)
    record, _ = attacked("learned")
    assert record["came_out"]["climb"]["scores"] == [None, 0.5]


def test_the_thief_sees_validation_images_and_pairs_of_training_images_only(attacked, trained):
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


def test_a_plain_network_has_no_transform_to_attack(folder):
    with pytest.raises(ValueError, match="baseline/seed0 is a plain network: there is no transform "
                                         "to attack"):
        experiments.run_attacks(named("baseline"), folder, device="cpu")


# ---- sweeps

@pytest.fixture
def untested(monkeypatch, tmp_path):
    """The data set has no test split to look at, and runs are quick."""
    small = toy_set()
    seen = types.SimpleNamespace(**{what: getattr(small, what) for what in (
        "train", "validation", "classes", "sha256")})
    monkeypatch.setattr(data, "load", lambda *arguments: seen)
    monkeypatch.setattr(_files, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(_files, "data_folder", lambda: tmp_path / "own")
    monkeypatch.setitem(experiments.RECIPES, "simple_cnn", QUICK)
    return small


def test_a_sweep_records_each_value_once_and_leaves_the_test_set_alone(tmp_path, untested,
                                                                      monkeypatch):
    name, folder = named("learned", 1, "simple_cnn"), tmp_path / "sweeps"

    def sweep(*values):
        return list(experiments.sweep(name, "gamma", values, folder, "cpu", progress=False))

    first = sweep(0.01, 1)  # a whole number is a number, too
    assert [record["asked"]["recipe"]["gamma"] for record in first] == [0.01, 1.0]
    for record in first:
        assert record["came_out"].keys() == {"validation", "perturbation"}
        assert record["asked"]["seed"] == 1
        assert record["asked"]["recipe"]["precision"] in ("float32", "bfloat16", "float16")
        assert record["came_out"]["perturbation"].keys() == {"squared_norm", "largest", "rms",
                                                             "psnr"}
    monkeypatch.setattr(runs, "fit", None)  # what is recorded is not trained again
    assert sweep(1.0, 0.01) == first[::-1]
    assert {path.parent.name for path in folder.rglob("seed1.json")} == {"learned"}
    found = ap.records("fashion_mnist", "simple_cnn", "learned",
                       folder=experiments.sweep_folder("gamma", 1.0, folder))
    assert found == first[1:] and not list((tmp_path / "cache").rglob("*.safetensors"))
    monkeypatch.setitem(experiments.RECIPES, "simple_cnn",
                        experiments.Recipe(epochs=2, batch_size=20, sigma=0.3))
    with pytest.raises(RecordError, match=r"when the recipe was another \({'epochs': 1}\).*in "
                                          "gamma alone"):
        sweep(1.0)  # σ is no matter of a learned transform


def test_a_sweep_reads_what_comes_with_the_package_and_writes_among_the_users_own(
        tmp_path, untested, monkeypatch):
    shipped = Archive(experiments.sweep_folder("gamma", 0.1)).read(
        named("learned", 0, "simple_cnn"))
    monkeypatch.setitem(experiments.RECIPES, "simple_cnn", dataclasses.replace(
        QUICK, epochs=8, batch_size=128, transform_lr=2e-3))
    read, = experiments.sweep(named("learned", 0, "simple_cnn"), "gamma", [0.1])
    assert read == shipped
    made, = experiments.sweep(named("learned", 0, "simple_cnn"), "gamma", [0.25], device="cpu",
                              progress=False)
    own = experiments.sweep_folder("gamma", 0.25, tmp_path / "own" / "sweeps")
    assert Archive(own).all() == [made]


def test_a_sweep_with_a_fixed_key_is_attacked_by_guessing_at_the_same_strength(
        tmp_path, untested, monkeypatch):
    judged, guess = [], ap.attacks.input_only

    def spy(net, images, *arguments):
        guesses = guess(net, images, *arguments)
        judged.append([ap.accuracy(net, untested.validation, each) for each in guesses.transforms])
        assert {(each.sigma, each.p) for each in guesses.transforms} == {(0.3, 0.2)}
        assert all(each.clip for each in guesses.transforms), "the owner clips; the thief knows"
        return guesses

    monkeypatch.setattr(ap.attacks, "input_only", spy)
    record, = experiments.sweep(named("fixed-clipped", 0, "simple_cnn"), "sigma", [0.3], tmp_path,
                                "cpu", progress=False)
    assert [record["came_out"]["guessed_keys"]] == judged
    assert len(judged[0]) == runs.SWEEP_DRAWS


@pytest.mark.parametrize("setting, value, message", [
    ("color", 1, "unknown setting 'color': expected one of activation, alpha"),
    ("seed", 1, "unknown setting 'seed'"), ("augment", None, "unknown setting 'augment'"),
    ("sigma", 0.2, "sigma changes nothing in a run with the transform 'learned'"),
    ("flip", "true", "flip must be True or False, got 'true'"), ("epochs", 0, "epochs must be"),
    ("optimizer", "../adam", "unknown optimizer")])
def test_a_sweep_that_would_change_nothing_or_cannot_be_is_refused(tmp_path, setting, value,
                                                                  message):
    with pytest.raises(ValueError, match=message):
        list(experiments.sweep(named("learned"), setting, [value], tmp_path))
    assert not list(tmp_path.iterdir())


# ---- what ships with the package

def test_the_recorded_runs_are_those_of_the_recipes():
    for record in experiments.all_records():
        assert experiments.departures(record) == {}, experiments.name_of(record)
    for folder in experiments.SWEEPS.glob("*=*"):
        for record in experiments.all_records(folder):
            setting = folder.name.partition("=")[0]
            default = getattr(experiments.Recipe(), setting)  # older records lack a setting
            value = record["asked"]["recipe"].get(setting, default)
            assert folder.name == f"{setting}={value}", experiments.name_of(record)


SHIPPED = sorted(path for folder in (experiments.RECORDS, experiments.SWEEPS)
                 for path in folder.rglob("seed*.json"))
NETWORKS = [(path, what) for path in SHIPPED if path.with_suffix(".safetensors").exists()
            for what in experiments.read_record(path)["came_out"]["test"]]


def shipped_name(path):
    return path if isinstance(path, str) else str(path.relative_to(_files.ASSETS).with_suffix(""))


def archive_of(path):
    """The archive in which a record lies under its name: that of the records, or of a sweep."""
    return Archive(path.parents[3])


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
    assert {path.parts[-3] for path, _ in NETWORKS} >= {"resnet20"}


def test_every_weight_file_belongs_to_a_record_that_names_it():
    files = sorted(_files.ASSETS.rglob("*.safetensors"))
    assert files
    for file in files:
        weights = experiments.read_record(file.with_suffix(".json"))["came_out"]["weights"]
        assert weights["file"] == file.name
        assert weights["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("path", SHIPPED, ids=shipped_name)
def test_a_shipped_record_is_whole_and_lies_where_its_name_says(path, mini):
    archive, attack = archive_of(path), path.name.endswith(".attacks.json")
    record = archive.read_at(path)
    asked, came_out = record["asked"], record["came_out"]
    if attack:
        name = experiments.name_of(record)
        assert asked["network_record_sha256"] == archive.read(name)["sha256"]
        for found in came_out.values():
            assert found["picked"] == found["scores"].index(max(found["scores"]))
        return
    if (asked["dataset"], asked["size"]) == ("fashion_mnist", "mini"):
        assert asked["dataset_sha256"] == mini.sha256
    if archive.folder == experiments.RECORDS:  # of sweeps, only weights that the book uses
        assert ("weights" in came_out) == path.with_suffix(".safetensors").exists()
        assert "test" in came_out
    for found in came_out.get("test", {}).values():
        assert found["accuracy"] == found["correct"] / found["images"]
        interval = ap.binomial_interval(found["correct"], found["images"])
        assert found["interval"] == pytest.approx(interval)


@pytest.mark.parametrize("path, what", NETWORKS, ids=shipped_name)
def test_a_shipped_network_gets_as_many_right_as_its_record_says(path, what, mini):
    record = experiments.read_record(path)
    name, came_out = experiments.name_of(record), record["came_out"]
    if name.dataset == "fashion_mnist":  # its mini set is always at hand
        test, recorded = mini.test, came_out["test" if name.size == "mini" else "mini_test"][what]
    else:
        test, recorded = full_test(name.dataset), came_out["test"][what]
    net, transform, _ = ap.pretrained(name.dataset, name.network, name.transform, name.size,
                                      name.seed, archive_of(path).folder)
    found = evaluate.count_correct(net, test, None if what == "unauthorized" else transform)
    assert recorded["images"] == len(test)
    assert abs(found - recorded["correct"]) <= 2  # rounding differs between processors


def test_the_average_over_shipped_seeds_is_that_of_their_counts():
    networks = {(path.parts[-3], path.parts[-2]) for path, _ in NETWORKS
                if archive_of(path).folder == experiments.RECORDS
                and path.parts[-4] == "fashion_mnist-mini"}
    for network, transform in networks:
        made = ap.records("fashion_mnist", network, transform)
        what = "accuracy" if transform == "baseline" else "authorized"
        tests = [record["came_out"]["test"][what] for record in made]
        shares = [test["correct"] / test["images"] for test in tests]
        mean, sd, count = experiments.across_seeds(made, what)
        assert (mean, count) == (pytest.approx(statistics.fmean(shares)), len(made))
        assert sd is None if count == 1 else math.isclose(sd, statistics.stdev(shares))


def test_a_share_holds_counts_and_the_interval():
    share = runs.share(15, 148)  # Newcombe (1998): 0.0624 … 0.1605
    assert share == {"correct": 15, "images": 148, "accuracy": 15 / 148,
                     "interval": list(ap.binomial_interval(15, 148))}
    assert share["interval"] == pytest.approx([0.0624, 0.1605], abs=6e-5)
