"""`python -m apdnn_lite`, on 40 random images."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toys import press_ctrl_c, toy_set

import apdnn_lite as ap
from apdnn_lite import __main__ as cli
from apdnn_lite import data, experiments

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ("list", "data", "run", "attack", "export", "check")


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Small data, short training, and a cache and a folder of records of the test's own."""
    small = toy_set()
    monkeypatch.setattr(data, "load", lambda *arguments: small)
    monkeypatch.setattr(data, "cache_folder", lambda: tmp_path / "cache")
    for network in experiments.RECIPES:
        monkeypatch.setitem(experiments.RECIPES, network, experiments.Recipe(epochs=1, batch_size=20))
    return tmp_path / "records"


def run(tiny, *more, transform="fixed"):
    return cli.main(["run", "fashion_mnist", "resnet20", transform, "--folder", str(tiny), "--device", "cpu", *more])


def test_help_says_what_can_be_run(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    shown = capsys.readouterr()
    assert ended.value.code == 0 and shown.err == ""
    assert all(f"\n    {name} " in shown.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0 and f"python -m apdnn_lite {name}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run"], ["run", "svhn", "resnet20", "fixed"],
                                       ["run", "mnist", "resnet20", "fixed", "--size", "huge"]])
def test_what_it_does_not_know_is_an_error_of_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2 and "usage:" in capsys.readouterr().err


def test_run_records_a_run_once_and_lists_it(tiny, capsys):
    assert run(tiny, "--seeds", "0", "1") == 0
    files = sorted(path.relative_to(tiny).as_posix() for path in tiny.rglob("*") if path.is_file())
    assert files == [f"fashion_mnist-mini/resnet20/fixed/seed{seed}.json" for seed in (0, 1)]
    assert not list((tiny.parent / "cache").rglob("*.safetensors")), "a checkpoint of a finished run is left"
    capsys.readouterr()

    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*.json")}
    assert run(tiny) == 0
    assert "seed0: recorded already; remove its record to run it again" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("*.json")} == before

    assert cli.main(["list", "--folder", str(tiny)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for seed, line in enumerate(lines):
        test = ap.records("fashion_mnist", "resnet20", "fixed", folder=tiny)[seed]["came_out"]["test"]
        assert line.startswith(f"fashion_mnist-mini/resnet20/fixed/seed{seed}: authorized "
                               f"{test['authorized']['accuracy']:.2%}, unauthorized {test['unauthorized']['accuracy']:.2%} (")


def test_a_stopped_run_keeps_its_checkpoint_and_goes_on(tiny, monkeypatch):
    monkeypatch.setitem(experiments.RECIPES, "resnet20", experiments.Recipe(epochs=2, batch_size=20, crop=1))
    batches = press_ctrl_c(monkeypatch, 3)
    assert run(tiny) == 130
    checkpoint, = (tiny.parent / "cache" / "checkpoints").iterdir()
    assert checkpoint.name == "fashion_mnist-mini-resnet20-fixed-seed0-2.safetensors" and not list(tiny.rglob("*.json"))
    assert run(tiny) == 0
    assert len(batches) == 3 + 2, "it began anew"
    assert not checkpoint.exists() and len(list(tiny.rglob("*.json"))) == 1


def test_check_measures_again(tiny, capsys):
    assert run(tiny, "--keep-weights") == 0 and run(tiny, "--keep-weights", transform="baseline") == 0
    capsys.readouterr()
    assert cli.main(["check", "--folder", str(tiny), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].split(", ")[1] for line in lines] == ["accuracy", "authorized", "unauthorized"]
    assert "differs" not in "".join(lines)
    assert cli.main(["list", "--folder", str(tiny)]) == 0 and "weights stored" in capsys.readouterr().out


def test_check_notices_a_record_that_is_not_so(tiny, capsys):
    run(tiny, "--keep-weights")
    path, = tiny.rglob("*.json")
    record = experiments.read_record(path)
    record["came_out"]["test"]["authorized"]["correct"] += 3  # two are within rounding
    experiments.write_record(path, record["asked"], record["came_out"], record["how"])
    capsys.readouterr()
    assert cli.main(["check", "--folder", str(tiny), "--device", "cpu"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("<- differs") and "differs" not in lines[1]


def test_check_uses_the_device_it_is_given(tiny, monkeypatch):
    run(tiny, "--keep-weights")
    asked = []
    monkeypatch.setattr(cli, "pick_device", lambda device: asked.append(device) or torch.device("cpu"))
    assert cli.main(["check", "--folder", str(tiny), "--device", "cuda:3"]) == 0
    assert asked == ["cuda:3"]


def test_attack_prints_what_came_out(tiny, capsys):
    run(tiny, "--keep-weights")
    capsys.readouterr()
    arguments = ["attack", "fashion_mnist", "resnet20", "fixed", "--folder", str(tiny), "--device", "cpu", "--draws"]
    assert cli.main([*arguments, "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(", ")[1].split(":")[0] for line in lines][:4] == ["direct", "brightness", "input_only", "climb"]
    assert (tiny / "fashion_mnist-mini/resnet20/fixed/seed0.attacks.json").exists()
    assert cli.main(["list", "--folder", str(tiny)]) == 0 and len(capsys.readouterr().out.splitlines()) == 1
    assert cli.main([*arguments, "0"]) == 1
    assert "error: draws must be at least 1" in capsys.readouterr().err


def test_data_shows_every_place(tiny, capsys, monkeypatch):
    monkeypatch.setenv("APDNN_DATA", str(tiny))
    (tiny / "MNIST" / "raw").mkdir(parents=True)
    assert cli.main(["data"]) == 0
    shown = capsys.readouterr().out
    for name in data.CLASSES:
        assert f"{name}\n" in shown and all(f"  {place}: " in shown for place in data.places(name))
    assert f"{tiny / 'MNIST' / 'raw'}: there\n" in shown and f"{tiny / 'FashionMNIST' / 'raw'}: not there\n" in shown
    assert str(data.MINI_FILE) in shown


def test_errors_go_to_standard_error_with_status_1(tiny, capsys):
    for arguments, message in ((["attack", "fashion_mnist", "resnet20", "fixed"], "no such record"),
                               (["check"], "no stored networks in")):
        assert cli.main([*arguments, "--folder", str(tiny)]) == 1
        shown = capsys.readouterr()
        assert shown.out == "" and shown.err.startswith("error: ") and message in shown.err
    assert cli.main(["list", "--folder", str(tiny)]) == 0
    assert capsys.readouterr().out == f"no records in {tiny}\n"


def test_an_altered_record_is_an_error_too(tiny, capsys):
    run(tiny)
    path, = tiny.rglob("*.json")
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1', 1))
    capsys.readouterr()
    assert cli.main(["list", "--folder", str(tiny)]) == 1
    assert "was altered" in capsys.readouterr().err


def test_the_exit_status_reaches_the_shell(tmp_path):
    done = subprocess.run([sys.executable, "-m", "apdnn_lite", "check", "--folder", str(tmp_path)], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "" and done.stderr == f"error: no stored networks in {tmp_path}\n"


def test_sweep_prints_each_value(tiny, capsys):
    arguments = ["sweep", "fashion_mnist", "resnet20", "learned", "--folder", str(tiny), "--device", "cpu", "--vary", "gamma",
                 "--values", "0.1", "1"]
    assert cli.main(arguments) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "validation" in line]
    assert [line.split(":")[0] for line in lines] == [
        f"fashion_mnist-mini/resnet20/learned/seed0, gamma {gamma}" for gamma in (0.1, 1.0)]
    assert all("authorized" in line and "unauthorized" in line and "PSNR" in line for line in lines)
    assert cli.main([*arguments[:-5], "--vary", "colour", "--values", "1"]) == 1
    assert "unknown setting 'colour'" in capsys.readouterr().err
