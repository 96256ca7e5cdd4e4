"""Cells of a table on two workers, one of which is killed; and what is refused. On 40 images."""

import dataclasses
import re
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import dask
import distributed
import pytest
import torch
from toys import toy_set

from apdnn_lite import TrainingError, _files, data, experiments
from apdnn_lite.experiments import Archive, cli, cluster, provenance, recipes, tables, thief
from apdnn_lite.experiments import reproduce as again

ROOT = Path(__file__).resolve().parent.parent
COLUMN = "fashion_mnist/simple_cnn"
QUICK = experiments.Recipe(epochs=2, batch_size=40)
OF_PLACE_AND_TIME = {"seconds", "images_per_second"}


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """The address of two workers of this machine with toys for data, and their folder."""
    folder = tmp_path_factory.mktemp("workers")
    with pytest.MonkeyPatch.context() as patch, toys_at_workers():
        patch.setenv("TINY_WORKER", str(folder))
        with cluster.connected(None, 2) as client:
            yield client.cluster.scheduler_address, folder


def toys_at_workers():
    return dask.config.set({"distributed.worker.preload": ["tiny_worker"]})


@pytest.fixture
def own(monkeypatch, tmp_path):
    """A folder of records; toys and short training in this process, too."""
    small = dataclasses.replace(toy_set(), size="full")
    monkeypatch.setattr(data, "load", lambda *arguments: small)
    monkeypatch.setattr(_files, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(recipes, "FULL_RECIPES", {key: QUICK for key in recipes.FULL_RECIPES})
    monkeypatch.setattr(again, "STORED", "simple_cnn")
    monkeypatch.setattr(thief, "PAIRS", (1,))
    monkeypatch.setattr(thief, "SHARES", ())
    monkeypatch.setattr(thief, "CLIMB", thief.CLIMB | {"steps": 1})
    monkeypatch.setattr(provenance, "git", lambda *command: None)
    return tmp_path / "records"


def reproduce(own, *more, table="table1", only=COLUMN):
    return cli.main(["reproduce", table, "--only", only, "--folder", str(own), "--device", "cpu",
                     *more])


def files(folder):
    """{name: content} of every file in a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}


def without_place_and_time(record):
    how = {what: each for what, each in record["how"].items() if what not in OF_PLACE_AND_TIME}
    return record["asked"], record["came_out"], how


# ---- two workers, one of them killed

def test_a_killed_worker_loses_no_cell_and_none_is_run_twice(workers, own, tmp_path, capsys):
    address, folder = workers
    (folder / "epochs").unlink(missing_ok=True)
    (folder / "die").touch()
    assert reproduce(own, "--cluster", address) == 0
    assert len(list(folder.glob("died-*"))) == 1, "nobody was killed"

    names = tables.cells("table1", COLUMN)
    shown = capsys.readouterr().out
    assert all(shown.count(f"{name}: ") == 1 for name in names) and "All 4 are rec" in shown
    epochs = (folder / "epochs").read_text().split()
    assert len(epochs) == len(names) * QUICK.epochs, "a finished epoch was run again"
    assert len(set(epochs)) >= 2, "one worker did it all"
    assert not list((folder / "cache").rglob("*.*")), "something is left at the workers"

    alone = list(again.make_missing("table1", names, tmp_path / "alone", "cpu"))
    assert len(alone) == len(names)
    for name, record in zip(names, alone, strict=True):
        found = Archive(own).read(name)
        assert without_place_and_time(found) == without_place_and_time(record)
    made, expected = files(own), files(tmp_path / "alone")
    assert made.keys() == expected.keys()
    assert all(made[name] == expected[name] for name in made if name.endswith(".safetensors"))
    assert sum(name.endswith(".safetensors") for name in made) == len(names)

    assert reproduce(own, "--cluster", address) == 0
    assert files(own) == made, "what is recorded is not run again"


def test_the_longest_cells_are_handed_out_first(monkeypatch, tmp_path):
    """One that is begun last, alone, would keep the others waiting for it."""
    handed = []

    class Client:
        def __enter__(self):
            return self

        __exit__ = lambda *arguments: None  # noqa: E731

        def submit(self, function, table, name, *more, priority, **options):
            handed.append((priority, name))
            return name

    monkeypatch.setattr(cluster, "connected", lambda address, workers: Client())
    monkeypatch.setattr(cluster, "same_versions", lambda client: None)
    monkeypatch.setattr(distributed, "as_completed", lambda asked: ())
    names = tables.cells("table1", "fashion_mnist")
    assert list(cluster.make_missing(None, 2, "table1", names, tmp_path)) == []
    order = [name for _, name in sorted(handed, key=lambda each: -each[0])]
    seconds = [again.seconds_for(name, "table1") for name in order]
    assert sorted(map(str, order)) == sorted(map(str, names)) and len(set(seconds)) > 3
    assert seconds == sorted(seconds, reverse=True) and order != names


def test_what_was_finished_before_a_stop_is_kept(workers, own):
    names = tables.cells("table1", COLUMN)[:3]

    def run(progress):
        return list(cluster.make_missing(workers[0], None, "table1", names, own, "cpu",
                                         progress=progress))

    def press_ctrl_c(line):
        if line.startswith("2 of 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(press_ctrl_c)
    kept = files(own)
    assert sum(name.endswith(".json") for name in kept) == 1
    assert len(run(print)) == 2 and kept.items() <= files(own).items()
    assert not again.missing_cells("table1", names, own)


def test_a_cell_that_another_worker_tidied_up_is_made_again(monkeypatch, tmp_path):
    name = tables.cell("fashion_mnist", "simple_cnn", "baseline")
    worker = SimpleNamespace(state=SimpleNamespace(nthreads=1), get_current_task=lambda: "cell-1")
    monkeypatch.setattr(cluster.distributed, "get_worker", lambda: worker)
    monkeypatch.setattr(cluster._files, "cache_folder", lambda: tmp_path)
    calls = []

    def make_cell(table, name, archive, *args, **options):
        calls.append(name)
        archive.weights(name).parent.mkdir(parents=True)
        archive.weights(name).write_bytes(b"weights")
        if len(calls) == 1:
            cluster.shutil.rmtree(archive.folder)
        return {"came_out": {"weights": {}}}

    monkeypatch.setattr(cluster, "make_cell", make_cell)
    made = cluster.cell("table1", name, {}, "cpu", again.recipe_for(name, None), 1, 1,
                        cluster.versions(), True)
    assert made == ({"came_out": {"weights": {}}}, b"weights") and len(calls) == 2
    assert not (tmp_path / "cells" / "cell-1").exists()


def test_a_cell_that_fails_is_named_and_the_others_are_recorded(workers, own, capsys):
    names = [tables.cell(dataset, "simple_cnn", "baseline") for dataset in ("mnist", COLUMN[:13])]
    with pytest.raises(TrainingError, match="1 of 2 cells failed: mnist-full/simple_cnn/baseline/"
                                            "seed0: MNIST is not on this machine"):
        list(cluster.make_missing(workers[0], None, "table1", names, own, "cpu"))
    assert again.missing_cells("table1", names, own) == names[:1]


def test_attacks_go_to_workers_with_the_network_and_go_on_where_they_were(workers, own, tmp_path):
    name = tables.cell("fashion_mnist", "simple_cnn", "learned")
    with pytest.raises(experiments.RecordError, match="no such record"):
        list(cluster.make_missing(workers[0], None, "table2", [name], own, "cpu"))
    list(again.make_missing("table1", [name], own, "cpu"))
    shutil.copytree(own, tmp_path / "alone")
    alone = experiments.run_attacks(name, tmp_path / "alone", 2, 1, "cpu")
    direct = alone["came_out"]["direct"] | {"commit": "an earlier one"}
    unfinished = Archive(own).path(name, attacks=True).with_suffix(".unfinished")
    experiments.write_record(unfinished, alone["asked"], {"direct": direct}, alone["how"])

    record, = cluster.make_missing(workers[0], None, "table2", [name], own, "cpu", draws=2, tries=1)
    assert record == Archive(own).read(name, attacks=True) and not unfinished.exists()
    assert record["came_out"] == alone["came_out"] | {"direct": direct}
    assert record["asked"] == alone["asked"]
    assert list(cluster.make_missing(None, 1, "table2", [name], own, "cpu")) == []


def test_processes_of_this_machine_share_its_threads(workers, own, monkeypatch):
    asked = []

    def client(**options):
        asked.append(options)
        return open_client(workers[0])

    open_client = distributed.Client
    monkeypatch.setattr(distributed, "Client", client)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    assert reproduce(own, "--workers", "2", only=f"{COLUMN}/baseline") == 0
    options, = asked
    assert (options["n_workers"], options["threads_per_worker"]) == (2, 2)
    assert options["resources"] == {"cell": 1}
    record, = Archive(own).all()
    assert record["how"]["threads"] == 1, "as many as the worker that ran it was given"


@pytest.mark.parametrize("page, count", [("book/commands.md", 2), ("README.md", 1)])
def test_the_line_for_workers_that_are_started_by_hand_works(page, count):
    """It takes away what Dask sets for them, and nothing else."""
    lines = re.findall(r"export (DASK_\w+)='(.+?)'", (ROOT / page).read_text(encoding="utf-8"))
    assert len(lines) == count and len(set(lines)) == 1

    def of_workers(env):
        found = {}
        dask.config.refresh(config=found, defaults=dask.config.defaults, paths=[], env=env)
        return dask.config.get(cluster.TRIMMED, config=found)

    before, after = of_workers({}), of_workers(dict(lines))
    assert before["MALLOC_TRIM_THRESHOLD_"] is not None, "Dask sets it no more: drop the line"
    assert after == before | {"MALLOC_TRIM_THRESHOLD_": None}


# ---- what is refused

@pytest.mark.parametrize("module, told", [
    (torch, r"apdnn_lite \S+ with code \w+ and torch 1\.2 as here"),
    (cluster, r"apdnn_lite 1\.2 with code \w+ and torch \S+ as here")])
def test_workers_of_another_version_get_no_cell(workers, own, monkeypatch, module, told):
    monkeypatch.setattr(module, "__version__", "1.2+cpu" if module is torch else "1.2")
    with pytest.raises(ValueError, match=f"the worker tcp://.* has apdnn_lite .*, expected {told}"):
        list(cluster.make_missing(workers[0], None, "table1", tables.cells("table1"), own))
    assert not files(own)


def test_a_worker_of_another_version_that_comes_later_runs_no_cell():
    with pytest.raises(ValueError, match="a worker has apdnn_lite .*, expected apdnn_lite 7"):
        cluster.cell(*[None] * 7, "apdnn_lite 7", False)


def test_without_workers_that_take_cells_there_is_nobody_to_wait_for(own, capsys):
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as other:
        assert reproduce(own, "--cluster", other.scheduler_address) == 1
    assert "error: none of 1 workers takes cells: start some with" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense"])
def test_an_address_where_nobody_answers_is_told_in_time(own, capsys, monkeypatch, address):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    began = time.perf_counter()
    assert reproduce(own, "--cluster", address) == 1
    assert time.perf_counter() - began < 10
    assert f"error: no Dask scheduler answered at '{address}'" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1"])
def test_at_least_one_worker_is_needed(own, capsys, number):
    assert reproduce(own, "--workers", number) == 1
    assert capsys.readouterr().err.startswith("error: workers must be a whole number, 1 or more")


def test_a_cluster_or_workers_of_this_machine_but_not_both(own, capsys):
    with pytest.raises(SystemExit) as ended:
        reproduce(own, "--workers", "2", "--cluster", "tcp://127.0.0.1:9")
    assert ended.value.code == 2 and "not allowed with" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(own, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, cluster.__name__)
    monkeypatch.delattr(experiments, "cluster")
    assert reproduce(own, "--workers", "2") == 1
    assert "not installed: pip install 'distributed>=" in capsys.readouterr().err
