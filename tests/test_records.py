"""Record files, archives of them, and what is known of a run's machine and code."""

import hashlib
import json
import math
import multiprocessing
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import apdnn_lite as ap
from apdnn_lite import _files, experiments
from apdnn_lite.experiments import Archive, RecordError, provenance, records

HOW = {"versions": {}, "seconds": 1.0}
NAME = experiments.checked_name("fashion_mnist", "resnet20", "fixed")


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "folder" / "seed0.json"
    record = experiments.write_record(path, {"seed": 0, "name": "σ"},
                                      {"test": {"accuracy": {"correct": 17}}}, HOW)
    return path, record


def write(archive, name, attacks=False, **more):
    """A record with nothing in it but what every record has."""
    asked = {"network_record_sha256": "0"} if attacks else {"recipe": {"epochs": 8}}
    return archive.write(name, asked | more, {}, HOW, attacks)


# ---- one file

def test_a_record_is_read_as_it_was_written(written):
    path, record = written
    assert experiments.read_record(path) == record
    assert record["asked"] == {"seed": 0, "name": "σ"} and record["how"] == HOW
    assert record["format"] == records.FORMAT == 1
    assert [file.name for file in path.parent.iterdir()] == ["seed0.json"]  # nothing half-written


def test_the_checksum_is_over_everything_else(written):
    _, record = written
    content = {name: value for name, value in record.items() if name != "sha256"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    assert record["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert experiments.content_sha256(record) == record["sha256"]


@pytest.mark.parametrize("before, after", [
    ('"correct": 17', '"correct": 18'), ('"seed": 0', '"seed": 1'),
    ('"seconds": 1.0', '"seconds": 2.0')])
def test_an_altered_number_is_found(written, before, after):
    path, _ = written
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(RecordError, match="seed0.json was altered: its content has the SHA-256 .*, "
                                          "the file says"):
        experiments.read_record(path)


def test_a_record_without_a_checksum_is_refused(written):
    path, record = written
    del record["sha256"]
    path.write_text(json.dumps(record))
    with pytest.raises(RecordError, match="was altered"):
        experiments.read_record(path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 1, "asked"', b"\xff\xfe",
                                     b"[" * 100_000])
def test_a_truncated_record_is_refused(written, content):
    written[0].write_bytes(content)
    with pytest.raises(RecordError, match="seed0.json is truncated or no JSON"):
        experiments.read_record(written[0])


@pytest.mark.parametrize("content, found", [('{"format": 99}', "99"), ("{}", "None"),
                                            ("[1]", "list"), ("3", "int")])
def test_another_format_is_refused(written, content, found):
    written[0].write_text(content)
    with pytest.raises(RecordError, match=f"expected a record of format 1, found {found}"):
        experiments.read_record(written[0])


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(RecordError, match="seed7.json: no such record"):
        experiments.read_record(tmp_path / "seed7.json")


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_not_finite_is_recorded_as_null(written, value):
    came_out = {"psnr": value, "scores": [1.0, value], "deep": {"pair": (value, 2)}}
    record = experiments.write_record(written[0], {}, came_out, HOW)
    assert record["came_out"] == {"psnr": None, "scores": [1.0, None], "deep": {"pair": [None, 2]}}
    assert experiments.read_record(written[0]) == record


def test_a_record_that_cannot_be_written_leaves_the_old_one(written, monkeypatch):
    path, record = written

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "replace", full)
    with pytest.raises(RecordError, match="seed0.json cannot be written .No space left on device"):
        experiments.write_record(path, {}, {}, HOW)
    assert experiments.read_record(path) == record
    assert [file.name for file in path.parent.iterdir()] == ["seed0.json"]


def write_often(path, number, queue):
    try:
        for _ in range(40):
            experiments.write_record(path, {"number": number}, {"i": list(range(500))}, HOW)
        queue.put(None)
    except Exception as error:
        queue.put(repr(error))


def test_two_processes_may_write_the_same_record_at_once(tmp_path):
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    queue, path = context.Queue(), tmp_path / "seed0.json"
    both = [context.Process(target=write_often, args=(path, number, queue)) for number in range(2)]
    for process in both:
        process.start()
    said = [queue.get(timeout=60) for _ in both]
    for process in both:
        process.join()
    assert said == [None, None]
    assert experiments.read_record(path)["asked"]["number"] in (0, 1)
    assert list(tmp_path.iterdir()) == [path]


# ---- a folder

def test_a_record_lies_where_its_name_says(tmp_path):
    archive = Archive(tmp_path)
    path = tmp_path / "fashion_mnist-mini" / "resnet20" / "fixed" / "seed0.json"
    assert archive.path(NAME) == path and archive.weights(NAME) == path.with_suffix(".safetensors")
    assert archive.path(NAME, attacks=True) == path.with_suffix(".attacks.json")
    record = write(archive, NAME)
    assert archive.read(NAME) == record == experiments.read_record(path)
    assert record["asked"] == {**NAME._asdict(), "recipe": {"epochs": 8}}
    assert experiments.name_of(record) == NAME


def test_the_home_folder_has_a_short_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    record = write(Archive("~/mine"), NAME)
    assert ap.records(*("fashion_mnist", "resnet20", "fixed"), folder="~/mine") == [record]
    assert experiments.sweep_folder("gamma", 0.1, "~/mine") == tmp_path / "mine" / "gamma=0.1"


def test_records_are_all_seeds_in_order(tmp_path):
    archive = Archive(tmp_path)
    for seed in (10, 2, 0):
        write(archive, NAME._replace(seed=seed))
        write(archive, NAME._replace(seed=seed), attacks=True)
    write(archive, NAME._replace(transform="fixed-clipped"))
    run = ("fashion_mnist", "resnet20", "fixed")
    for attacks in (False, True):
        found = ap.records(*run, folder=tmp_path, attacks=attacks)
        assert [record["asked"]["seed"] for record in found] == [0, 2, 10]
        assert all(("recipe" in record["asked"]) != attacks for record in found)
    assert [str(experiments.name_of(record)) for record in experiments.all_records(tmp_path)] == [
        f"fashion_mnist-mini/resnet20/{last}"
        for last in ("fixed/seed0", "fixed/seed2", "fixed/seed10", "fixed-clipped/seed0")]
    assert len(experiments.all_records(tmp_path, attacks=True)) == 3
    with pytest.raises(RecordError, match="no record of fashion_mnist-mini/resnet20/baseline in "):
        ap.records("fashion_mnist", "resnet20", "baseline", folder=tmp_path)
    with pytest.raises(RecordError, match="resnet20/fixed-clipped under attack in"):
        ap.records("fashion_mnist", "resnet20", "fixed-clipped", attacks=True, folder=tmp_path)
    nobody = NAME._replace(transform="baseline")
    assert experiments.recorded(nobody, folder=tmp_path) == []


@pytest.mark.parametrize("attacks", [False, True])
@pytest.mark.parametrize("other", [{"seed": 1}, {"transform": "learned"}, {"network": "simple_cnn"},
                                   {"dataset": "mnist"}, {"size": "full"}])
def test_a_record_in_the_place_of_another_one_is_refused(tmp_path, other, attacks):
    archive, name = Archive(tmp_path), NAME._replace(**other)
    for each in (NAME, name):
        write(archive, each, attacks)
    shutil.copy(archive.path(NAME, attacks), archive.path(name, attacks))
    wrong = "in the wrong place: it is the record of (the attacks on )?fashion_mnist-mini/resnet20"
    asked = (name.dataset, name.network, name.transform, name.size)
    for read in (lambda: archive.read(name, attacks), lambda: archive.all(attacks),
                 lambda: ap.records(*asked, attacks=attacks, folder=tmp_path)):
        with pytest.raises(RecordError, match=wrong):
            read()
    assert archive.read(NAME, attacks)


@pytest.mark.parametrize("file", ["seed0 copy.json", "seed00.json", "seed3.json",
                                  "seed0.attacks.json", "deeper/seed0.json"])
def test_a_copy_under_another_file_name_counts_nothing_twice(tmp_path, file):
    archive = Archive(tmp_path)
    write(archive, NAME)
    copy = archive.path(NAME).parent / file
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(archive.path(NAME), copy)
    with pytest.raises(RecordError, match="in the wrong place"):
        archive.all(attacks="attacks" in file)


def test_hidden_files_are_no_records(tmp_path):
    archive = Archive(tmp_path)
    record = write(archive, NAME)
    folder = archive.path(NAME).parent
    for file in (".ipynb_checkpoints/seed0-checkpoint.json", "._seed0.json", ".seed1.json"):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(b"\0")
    assert archive.all() == [record]


@pytest.mark.parametrize("change, message", [
    ({"dataset": "svhn"}, "unknown data set 'svhn'"), ({"network": "vgg"}, "unknown network 'vgg'"),
    ({"transform": "rot13"}, "unknown transform"), ({"size": "huge"}, "unknown size"),
    ({"seed": -1}, "seed must be"), ({"seed": None}, "seed must be"),
    ({"dataset": ["a"]}, "unknown data set|unhashable")])
def test_a_record_of_an_unknown_run_is_refused(tmp_path, change, message):
    archive = Archive(tmp_path)
    record = write(archive, NAME)
    experiments.write_record(archive.path(NAME), record["asked"] | change, {}, HOW)
    with pytest.raises(RecordError, match=f"seed0.json is a record of no run .*{message}"):
        archive.read(NAME)


@pytest.mark.parametrize("asked, came_out, how", [
    ([], {}, HOW), ({"seed": 0}, {}, HOW), (NAME._asdict(), {}, HOW),
    ({**NAME._asdict(), "recipe": []}, {}, HOW), ({**NAME._asdict(), "recipe": {}}, [], HOW),
    ({**NAME._asdict(), "recipe": {}}, {}, [1])])
def test_a_record_that_lacks_a_part_is_refused(tmp_path, asked, came_out, how):
    archive = Archive(tmp_path)
    experiments.write_record(archive.path(NAME), asked, came_out, how)
    with pytest.raises(RecordError, match="seed0.json (lacks a part|is a record of no run)"):
        archive.read(NAME)


def test_an_archive_behind_is_read_where_the_first_has_nothing(tmp_path):
    behind = Archive(tmp_path / "behind")
    front = Archive(tmp_path / "front", behind)
    for seed in (0, 1):
        write(behind, NAME._replace(seed=seed), whose="behind")
    for seed in (1, 2):
        write(front, NAME._replace(seed=seed), whose="front")
    found = front.seeds(NAME)
    assert [record["asked"]["whose"] for record in found] == ["behind", "front", "front"]
    assert front.all() == found and len(behind.all()) == 2
    assert front.read(NAME) == found[0] and front.holder(NAME) is behind
    assert front.holder(NAME._replace(seed=1)) is front
    assert front.holder(NAME._replace(seed=3)) is None
    with pytest.raises(RecordError, match="front.*seed3.json: no such record"):
        front.read(NAME._replace(seed=3))


def test_what_comes_with_the_package_is_only_read():
    for folder in (experiments.RECORDS, experiments.sweep_folder("gamma", 0.1),
                   experiments.RECORDS / "new" / ".." / "other"):
        with pytest.raises(RecordError, match="comes with the package and is only read: name "
                                              "another folder with --folder"):
            write(Archive(folder), NAME._replace(seed=77))
    assert not list(_files.ASSETS.rglob("seed77*"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="no record can be written to .*file.records .*: name "
                                          "another folder with --folder"):
        Archive(tmp_path / "file" / "records").check_writable()


def test_a_users_own_records_do_not_change_those_of_the_book(monkeypatch, tmp_path):
    monkeypatch.setattr(_files, "data_folder", lambda: tmp_path)
    before = ap.records("fashion_mnist", "resnet20", "fixed")
    write(Archive(experiments.own_folder()), NAME._replace(seed=7))
    assert ap.records("fashion_mnist", "resnet20", "fixed") == before
    assert experiments.own_folder() == tmp_path / "records"
    assert experiments.own_folder("sweeps") == tmp_path / "sweeps"
    with_own = Archive(experiments.own_folder(), experiments.SHIPPED)
    assert len(with_own.seeds(NAME)) == len(before) + 1


# ---- how a run was made

def test_the_environment_says_how(tmp_path):
    how = experiments.write_record(tmp_path / "a.json", {}, {})["how"]
    assert how["versions"]["torch"] == torch.__version__
    assert how["threads"] == torch.get_num_threads()
    assert {"python", "torch", "numpy"} <= how["versions"].keys()
    assert {"processor", "commit", "uncommitted_changes", "date"} <= how.keys()
    assert how["processor"]


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "")
    how = experiments.environment()
    assert how["commit"] is how["uncommitted_changes"] is None and how["threads"]


def git(folder, *command):
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    return subprocess.run(["git", "-C", str(folder), *who, *command], capture_output=True,
                          text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A package in a git repository of its own, with one commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    top = tmp_path / "top"
    package = top / "apdnn_lite"
    (package / "assets").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git(top, "init", "-q")
    git(top, "add", ".")
    git(top, "commit", "-qm", "first")
    monkeypatch.setattr(provenance, "PACKAGE", package.resolve())
    return package


def test_the_commit_is_that_of_the_packages_own_repository(repository, monkeypatch):
    head = git(repository, "rev-parse", "HEAD")
    (repository / "assets" / "record.json").write_text("")  # is no code
    monkeypatch.setenv("GIT_DIR", os.devnull)  # as inside a hook of another repository
    how = experiments.environment()
    assert (how["commit"], how["uncommitted_changes"]) == (head, False)
    (repository / "__init__.py").write_text("changed")
    assert experiments.environment()["uncommitted_changes"] is True


@pytest.mark.parametrize("place", ["lib/site-packages", "."])
def test_the_commit_of_somebody_elses_repository_is_not_named(repository, monkeypatch, place):
    """Of homework with a virtual environment inside, or of a folder that git does not keep."""
    top = repository.parent
    package = top / place / "installed"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(provenance, "PACKAGE", package.resolve())
    how = experiments.environment()
    assert how["commit"] is how["uncommitted_changes"] is None


@pytest.mark.parametrize("text, expected", [("a1" * 20, "a1" * 20), ("$Format:%H$", None)])
def test_a_copy_by_git_archive_knows_its_commit(tmp_path, monkeypatch, text, expected):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "commit.txt").write_text(f"{text}\n")
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path.resolve())
    how = experiments.environment()
    assert how["commit"] == expected and how["uncommitted_changes"] is None


def test_the_package_is_found_from_the_place_of_the_code():
    assert provenance.PACKAGE == Path(ap.__file__).resolve().parent
    assert experiments.device_name(torch.device("cpu")) == "cpu"


def test_the_processor_has_a_name(monkeypatch, tmp_path):
    assert experiments.processor_name()
    monkeypatch.setattr(provenance, "Path", lambda _: tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("flags : a\nmodel name\t: Some: Chip\nmodel name : other\n")
    assert experiments.processor_name() == "Some: Chip"


# ---- departures

@pytest.mark.parametrize("transform, ignored, counted", [
    ("baseline", "gamma", "crop"), ("fixed", "gamma", "sigma"), ("fixed-clipped", "gamma", "p"),
    ("learned", "sigma", "gamma"), ("generator", "p", "generator_start")])
def test_what_has_no_effect_on_a_run_is_no_departure_of_it(transform, ignored, counted):
    name = experiments.checked_name("fashion_mnist", "resnet20", transform)
    asked = experiments.recipes.recorded_settings(experiments.recipe_of(name))

    def find(**changes):
        return experiments.departures({"asked": {**name._asdict(), "recipe": asked | changes}})

    assert find() == find(**{ignored: 7}) == find(precision="bfloat16") == {}
    assert find(epochs=7) == {"epochs": 7} and find(**{counted: 7}) == {counted: 7}


def test_a_record_older_than_a_setting_had_its_default(monkeypatch):
    name = experiments.checked_name("mnist", "simple_cnn", "generator", "full")
    older = {"asked": {**name._asdict(), "recipe": {"epochs": 8}}}
    for now, expected in ((1.0, {}), (0.1, {"generator_start": 1.0})):
        monkeypatch.setitem(experiments.FULL_RECIPES, ("mnist", "simple_cnn"),
                            experiments.Recipe(generator_start=now))
        assert experiments.departures(older) == expected
    plain = experiments.checked_name("mnist", "resnet20", "learned")
    recipe = experiments.recipes.recorded_settings(experiments.recipe_of(plain))
    del recipe["transform_lr"]  # then it was the network's
    assert experiments.departures({"asked": {**plain._asdict(), "recipe": recipe}}) == {}
