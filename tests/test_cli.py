"""The command line, on 40 random images."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toys import press_ctrl_c, toy_set

import apdnn_lite as ap
from apdnn_lite import __main__ as module
from apdnn_lite import _files, data, experiments
from apdnn_lite.experiments import Archive, cli, commands

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ("list", "data", "run", "sweep", "attack", "reproduce", "export", "report", "picture",
            "prior", "variants", "beyond", "later", "check", "check-env")
FIXED = ["fashion_mnist", "resnet20", "fixed"]


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Small data, short training, and a cache and folders of records of the test's own."""
    small = toy_set()
    monkeypatch.setattr(data, "load", lambda *arguments: small)
    monkeypatch.setattr(_files, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(_files, "data_folder", lambda: tmp_path / "own")
    for network in experiments.RECIPES:
        recipe = experiments.Recipe(epochs=1, batch_size=20)
        monkeypatch.setitem(experiments.RECIPES, network, recipe)
    return tmp_path / "records"


def run(tiny, *more, transform="fixed"):
    return cli.main(["run", "fashion_mnist", "resnet20", transform, "--folder", str(tiny),
                     "--device", "cpu", *more])


def python(*arguments, **environment):
    """The command line as a process of its own."""
    return subprocess.run([sys.executable, "-m", "apdnn_lite", *arguments], cwd=ROOT,
                          capture_output=True, env=os.environ | environment)


def test_help_says_what_can_be_run(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    shown = capsys.readouterr()
    assert ended.value.code == 0 and shown.err == ""
    lines = shown.out.splitlines()
    assert all(any(line.startswith(f"    {name}") for line in lines) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("called, program", [("/venv/bin/apdnn", "apdnn"),
                                             ("apdnn_lite/__main__.py", "python -m apdnn_lite")])
def test_each_command_has_help(name, called, program, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [called])
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0 and f"usage: {program} {name}" in capsys.readouterr().out


def test_it_says_its_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"apdnn_lite {ap.__version__}\n")
    assert module.main is cli.main


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run"], ["run", "svhn", "resnet20", "fixed"],
                                       ["run", *FIXED, "--size", "huge"], ["reproduce", "table3"],
                                       ["run", *FIXED, "--seeds", "one"], ["--nope"]])
def test_what_it_does_not_know_is_an_error_of_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2 and "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("arguments, message", [
    (["run", *FIXED, "--device", "nonsense"], "there is no device 'nonsense' here"),
    (["run", *FIXED, "--seeds", "-1"], "seed must be a whole number, 0 or more, got -1"),
    (["run", *FIXED, "--seeds", str(2**70)], "seed must be at most"),
    (["check", "--device", "nonsense"], "there is no device 'nonsense' here"),
    (["attack", *FIXED, "--size", "mini", "--draws", "0"], "draws must be a whole number"),
    (["sweep", *FIXED, "--vary", "p", "--values", "abc"], "p: expected float, got 'abc'"),
    (["sweep", *FIXED, "--vary", "color", "--values", "1"], "unknown setting 'color'"),
    (["sweep", *FIXED, "--vary", "epochs", "--values", "0"], "epochs must be a whole number"),
    (["sweep", *FIXED, "--vary", "gamma", "--values", "1"], "gamma changes nothing"),
    (["reproduce", "table1", "--seeds", "0", "--list"], "seeds must be a whole number"),
    (["reproduce", "table1", "--only", "mnist/", "--list"], "table1 has no cell 'mnist/'"),
    (["reproduce", "table1", "--epochs", "1"], "name a folder for it"),
    (["export", *FIXED, "--size", "mini", "--seeds", "9", "--to", "x.onnx"], "no such record"),
    (["picture", "mnist", "--classes", "0"], "--classes: expected at least 1, got 0")])
def test_what_cannot_be_is_one_line_on_standard_error_and_status_1(tiny, arguments, message,
                                                                  capsys):
    assert cli.main(arguments) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("error: ") and message in shown.err
    assert shown.err.count("\n") == 1


# ---- runs

def test_the_help_of_run_says_which_epochs_are_measured_on_the_test_set(tiny, capsys):
    assert run(tiny) == 0
    came_out = ap.records(*FIXED, folder=tiny)[0]["came_out"]
    assert "test" in came_out and "test" in came_out["selected"]  # two epochs, and the help says so
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "measure two of its epochs on the test set (the last one, and" in said


def test_run_records_a_run_once_and_lists_it(tiny, capsys):
    assert run(tiny, "--seeds", "0", "1") == 0
    files = sorted(path.relative_to(tiny).as_posix() for path in tiny.rglob("*") if path.is_file())
    assert files == [f"fashion_mnist-mini/resnet20/fixed/seed{seed}.json" for seed in (0, 1)]
    assert not list((tiny.parent / "cache").rglob("*.safetensors")), "a checkpoint is left"
    assert f", recorded in {tiny}\n" in capsys.readouterr().out

    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*.json")}
    assert run(tiny) == 0
    said = "seed0: recorded already; remove its record to run it again"
    assert said in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("*.json")} == before

    assert cli.main(["list", "--folder", str(tiny)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for seed, line in enumerate(lines):
        test = ap.records(*FIXED, folder=tiny)[seed]["came_out"]["test"]
        assert line.startswith(f"fashion_mnist-mini/resnet20/fixed/seed{seed}: authorized "
                               f"{test['authorized']['accuracy']:.2%}, unauthorized "
                               f"{test['unauthorized']['accuracy']:.2%} (")


def test_by_default_a_run_is_the_users_own_and_the_list_says_where_it_lies(tiny, capsys):
    shipped = len(experiments.all_records())
    assert cli.main(["list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == shipped
    assert cli.main(["run", *FIXED, "--seeds", "7", "--device", "cpu"]) == 0
    own = tiny.parent / "own" / "records"
    assert Archive(own).path(experiments.checked_name(*FIXED, seed=7)).exists()
    for command in ("list", "report"):
        capsys.readouterr()
        assert cli.main([command]) == 0
        assert f"Your own records are in {own}" in capsys.readouterr().out
    assert len(ap.records(*FIXED)) == 3, "the book's records are another number now"
    counts = []
    for more in (["--with-shipped"], ["--folder", str(own)], ["--folder", str(own),
                                                              "--with-shipped"]):
        assert cli.main(["list", *more]) == 0
        counts.append(len(capsys.readouterr().out.splitlines()))
    assert counts == [shipped + 1, 1, shipped + 1]


@pytest.mark.parametrize("name", ["records", "cache"])
def test_a_folder_that_cannot_be_written_is_named_before_training(tiny, capsys, monkeypatch, name):
    (tiny.parent / name).write_text("no folder")
    monkeypatch.setattr(experiments.runs, "fit", None)
    assert run(tiny) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("error: no ") and str(tiny.parent / name) in shown.err


def test_what_comes_with_the_package_is_only_read(tiny, capsys, monkeypatch):
    monkeypatch.setattr(experiments.runs, "fit", None)
    assert run(experiments.RECORDS, "--seeds", "77") == 1
    assert "comes with the package and is only read" in capsys.readouterr().err


def test_a_stopped_run_keeps_its_checkpoint_and_goes_on(tiny, monkeypatch):
    monkeypatch.setitem(experiments.RECIPES, "resnet20",
                        experiments.Recipe(epochs=2, batch_size=20, crop=1))
    batches = press_ctrl_c(monkeypatch, 3)
    assert run(tiny) == 130
    checkpoint, = (tiny.parent / "cache" / "checkpoints").iterdir()
    assert checkpoint.name == "fashion_mnist-mini-resnet20-fixed-seed0-2.safetensors"
    assert not list(tiny.rglob("*.json"))
    assert run(tiny) == 0
    assert len(batches) == 3 + 2, "it began anew"
    assert not checkpoint.exists() and len(list(tiny.rglob("*.json"))) == 1


def test_sweep_prints_each_value(tiny, capsys):
    arguments = ["sweep", "fashion_mnist", "resnet20", "learned", "--folder", str(tiny), "--device",
                 "cpu", "--vary", "gamma", "--values", "0.1", "1"]
    assert cli.main(arguments) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "validation" in line]
    assert [line.split(":")[0] for line in lines] == [
        f"fashion_mnist-mini/resnet20/learned/seed0, gamma {gamma}" for gamma in (0.1, 1.0)]
    assert all("authorized" in line and "unauthorized" in line and "PSNR" in line
               for line in lines)
    assert cli.main(["list", "--folder", str(tiny / "gamma=0.1")]) == 0
    assert "learned/seed0: validation authorized" in capsys.readouterr().out


@pytest.mark.parametrize("setting, text, value", [
    ("flip", "true", True), ("flip", "True", True), ("flip", "1", True), ("flip", "yes", True),
    ("flip", "false", False), ("flip", "0", False), ("flip", "no", False), ("epochs", "12", 12),
    ("gamma", "1", 1.0), ("gamma", "1e-3", 1e-3), ("transform_max_norm", "none", None),
    ("transform_max_norm", "0.5", 0.5), ("activation", "relu", "relu"),
    ("optimizer", "none", "none")])
def test_a_value_is_what_its_setting_takes(setting, text, value):
    found = commands.value_of(setting, text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("setting, text", [("flip", "banana"), ("flip", "2"), ("epochs", "2.5"),
                                           ("gamma", "none"), ("gamma", "a")])
def test_a_value_that_its_setting_does_not_take_is_refused(setting, text):
    with pytest.raises(ValueError, match=f"{setting}: expected .*, got '{text}'"):
        commands.value_of(setting, text)


# ---- check and attack

def test_check_measures_again(tiny, capsys):
    assert run(tiny, "--keep-weights") == run(tiny, "--keep-weights", transform="baseline") == 0
    capsys.readouterr()
    assert cli.main(["check", "--folder", str(tiny), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].split(", ")[1] for line in lines] == [
        "accuracy", "authorized", "unauthorized"]
    assert "differs" not in "".join(lines)
    assert cli.main(["list", "--folder", str(tiny)]) == 0
    assert "weights stored" in capsys.readouterr().out


@pytest.mark.parametrize("more, status", [(2, 0), (-2, 0), (3, 1), (-3, 1)])
def test_check_notices_a_record_that_is_not_so(tiny, capsys, more, status):
    run(tiny, "--keep-weights")
    path, = tiny.rglob("*.json")
    record = experiments.read_record(path)
    record["came_out"]["test"]["authorized"]["correct"] += more  # two are within rounding
    experiments.write_record(path, record["asked"], record["came_out"], record["how"])
    capsys.readouterr()
    assert cli.main(["check", "--folder", str(tiny), "--device", "cpu"]) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("<- differs") == bool(status) and "differs" not in lines[1]


def test_check_goes_on_after_what_it_cannot_check(tiny, capsys):
    """Weights without a record are told; a damaged record fails, and the others are checked."""
    assert run(tiny, "--keep-weights", "--seeds", "0", "1", "2") == 0
    folder = next(tiny.rglob("seed0.json")).parent
    (folder / "seed9.safetensors").write_bytes((folder / "seed0.safetensors").read_bytes())
    capsys.readouterr()
    check = ["check", "--folder", str(tiny), "--device", "cpu"]
    assert cli.main(check) == 0
    shown = capsys.readouterr().out
    assert "seed9.safetensors: not checked, because no record names it" in shown
    assert shown.count(" correct, recorded ") == 6
    (folder / "seed1.json").write_bytes((folder / "seed0.json").read_bytes())
    (folder / "seed2.safetensors").write_bytes(b"")
    assert cli.main(check) == 1
    shown = capsys.readouterr().out
    assert "seed1.json is in the wrong place" in shown and shown.count("<- wrong") == 2
    assert "seed2.safetensors is altered or truncated" in shown
    assert shown.count(" correct, recorded ") == 2


def test_check_uses_the_device_it_is_given(tiny, monkeypatch):
    run(tiny, "--keep-weights")
    asked = []

    def pick(device):
        asked.append(device)
        return torch.device("cpu")

    monkeypatch.setattr(commands, "pick_device", pick)
    assert cli.main(["check", "--folder", str(tiny), "--device", "cuda:3"]) == 0
    assert asked == ["cuda:3"]


def test_attack_prints_what_came_out(tiny, capsys):
    run(tiny, "--keep-weights")
    capsys.readouterr()
    arguments = ["attack", *FIXED, "--folder", str(tiny), "--device", "cpu", "--draws", "2"]
    assert cli.main([*arguments, "--tries", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(", ")[1].split(":")[0] for line in lines][:4] == [
        "direct", "brightness", "input_only", "climb"]
    assert (tiny / "fashion_mnist-mini/resnet20/fixed/seed0.attacks.json").exists()
    assert cli.main(["list", "--folder", str(tiny)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_data_shows_every_place(tiny, capsys, monkeypatch):
    monkeypatch.setenv("APDNN_DATA", str(tiny))
    (tiny / "MNIST" / "raw").mkdir(parents=True)
    (tiny / "cifar10-jpeg.tar.gz").write_text("an archive is a place, too")
    assert cli.main(["data"]) == 0
    shown = capsys.readouterr().out
    for name in data.CLASSES:
        assert f"{name}\n" in shown and all(f"  {place}: " in shown for place in data.places(name))
    assert f"{tiny / 'MNIST' / 'raw'}: there\n" in shown
    assert f"{tiny / 'FashionMNIST' / 'raw'}: not there\n" in shown
    assert f"{tiny / 'cifar10-jpeg.tar.gz'}: there\n" in shown


# ---- errors, and consoles

def test_errors_go_to_standard_error_with_status_1(tiny, capsys):
    tiny.mkdir(exist_ok=True)
    for arguments, message in ((["attack", *FIXED], "no such record"),
                               (["check"], "no stored networks in")):
        assert cli.main([*arguments, "--folder", str(tiny)]) == 1
        shown = capsys.readouterr()
        assert shown.out == "" and shown.err.startswith("error: ") and message in shown.err
    assert cli.main(["list", "--folder", str(tiny)]) == 0
    assert capsys.readouterr().out == f"no records in {tiny}\n"


@pytest.mark.parametrize("command", ["list", "report", "check"])
def test_a_mistyped_folder_is_refused_where_a_command_only_reads_it(command, tmp_path, capsys):
    (tmp_path / "file").touch()
    for name in ("nowhere", "file"):
        with pytest.raises(SystemExit) as stopped:
            cli.main([command, "--folder", str(tmp_path / name)])
        assert stopped.value.code == 2
        assert f"there is no folder '{tmp_path / name}'" in capsys.readouterr().err


def test_an_altered_record_is_an_error_too(tiny, capsys):
    run(tiny)
    path, = tiny.rglob("*.json")
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1', 1))
    capsys.readouterr()
    assert cli.main(["list", "--folder", str(tiny)]) == 1
    assert "was altered" in capsys.readouterr().err


@pytest.mark.parametrize("error, line", [
    (OSError(28, "No space left on device"), "error: No space left on device\n"),
    (PermissionError(13, "Permission denied", "/x"), "error: /x: Permission denied\n"),
    (ap.TrainingError("why"), "error: why\n"), (ImportError("no onnx"), "error: no onnx\n"),
    (torch.OutOfMemoryError("CUDA out of memory"), "error: CUDA out of memory\n")])
def test_what_a_machine_can_refuse_is_one_line(monkeypatch, capsys, error, line):
    def refuse(options):
        raise error

    monkeypatch.setattr(commands, "show_data", refuse)
    assert cli.main(["data"]) == 1
    assert capsys.readouterr().err == line


def test_the_exit_status_reaches_the_shell(tmp_path):
    done = python("check", "--folder", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == f"error: no stored networks in {tmp_path}{os.linesep}"


@pytest.mark.parametrize("command", [["report"], ["attack", "--help"]])
def test_a_console_of_one_code_page_gets_what_it_can_show(command):
    done = python(*command, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0 and done.stderr == b"" and b"?" in done.stdout


@pytest.mark.parametrize("command", ["list", "report", "--help"])
def test_whoever_closes_the_pipe_hears_nothing_more(command):
    reading, writing = os.pipe()
    os.close(reading)
    # Unbuffered, argparse would notice the closed pipe itself, and say nothing of it.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-m", "apdnn_lite", command], cwd=ROOT, stdout=writing,
                          stderr=subprocess.PIPE, env=buffered)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_output_to_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "apdnn_lite", "list"], cwd=ROOT, stdout=full,
                              stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"error: No space left on device\n")


def test_the_page_on_the_command_line_does_not_repeat_choices(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "book" / "_ext")
    import command_pages

    def choices(parser):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for each in action.choices.values():
                    yield from choices(each)
            elif action.choices:
                yield action.dest, action.choices, action.help

    assert {"dataset", "network", "lock"} <= {name for name, *_ in choices(cli.parser())}
    for name, values, said in choices(command_pages.parser()):
        assert any(str(value) not in said for value in values), name
