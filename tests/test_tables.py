"""The source's tables and ours, made again and printed, on 40 random images."""

import dataclasses
import json
import re
from functools import partial

import pytest
import torch
from PIL import Image
from toys import press_ctrl_c, toy_set

import apdnn_lite as ap
from apdnn_lite import _files, _sources, attacks, data, experiments, tables
from apdnn_lite.experiments import Archive, Name, RecordError, cli, gaps, recipes, thief
from apdnn_lite.experiments import reproduce as again

QUICK = experiments.Recipe(epochs=2, batch_size=20, crop=1)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Small data, short training, few draws; a cache and a folder of records of the test's own."""
    small = dataclasses.replace(toy_set(), size="full")
    monkeypatch.setattr(data, "load", lambda *arguments: small)
    monkeypatch.setattr(_files, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(_files, "data_folder", lambda: tmp_path / "own")
    monkeypatch.setattr(recipes, "FULL_RECIPES", {key: QUICK for key in recipes.FULL_RECIPES})
    monkeypatch.setattr(thief, "PAIRS", (1, 3))
    monkeypatch.setattr(thief, "SHARES", (0.5,))
    monkeypatch.setattr(thief, "CLIMB", thief.CLIMB | {"steps": 1})
    return tmp_path / "records"


def reproduce(tiny, *more, table="table1", only="fashion_mnist/resnet20/fixed"):
    return cli.main(
        ["reproduce", table, "--only", only, "--folder", str(tiny), "--device", "cpu", *more]
    )


def path_of_part(name, folder):
    return Archive(folder).path(name, attacks=True).with_suffix(".unfinished")


def files(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


# ---- the source's figures, typed again here from its two tables

def test_the_sources_first_table():
    columns = {("mnist", "simple_cnn"): "99.12 99.24 (0.24) 99.18 (0.10) 99.23 (0.23)",
               ("fashion_mnist", "simple_cnn"): "91.80 91.88 (1.09) 92.06 (2.18) 91.82 (2.76)",
               ("fashion_mnist", "resnet20"): "92.63 91.65 (0.63) 92.56 (0.65) 92.55 (1.55)",
               ("cifar10", "resnet20"): "90.74 89.73 (0.52) 90.58 (0.86) 90.61 (0.78)"}
    assert tables.PAPER_1.keys() == columns.keys()
    for column, text in columns.items():
        baseline, *figures = map(float, re.findall(r"[\d.]+", text))
        paper = tables.PAPER_1[column]
        assert paper["baseline"] == (baseline, None)
        assert [value for kind in tables.TRANSFORMS for value in paper[kind]] == figures


def test_the_sources_second_table():
    flat = [
        value
        for row in tables.PAPER_2.values()
        for kind in tables.TRANSFORMS
        for value in row.get(kind, ())
    ]
    assert flat == [
        0.63,
        0.65,
        1.55,
        66.23,
        78.96,
        55.37,
        79.42,
        3.17,
        4.95,
        75.05,
        82.11,
        76.31,
        84.17,
        77.24,
        86.00,
    ]


# ---- which cells there are

def test_the_cells_of_the_first_table_the_most_telling_first():
    cells = tables.cells("table1")
    assert len(cells) == len(set(cells)) == 4 * 4 + 1 and {name.size for name in cells} == {"full"}
    assert [name[::3] for name in cells[:5]] == [("fashion_mnist", kind) for kind in (
        "baseline", "fixed", "learned", "generator", "fixed-clipped")]
    assert [name.seed for name in tables.cells("table1", seeds=3)] == [0] * 17 + [1] * 17 + [2] * 17


def test_the_cells_of_the_second_table_are_the_protected_networks_of_one_column():
    assert [str(name) for name in tables.cells("table2")] == [
        f"fashion_mnist-full/resnet20/{kind}/seed0"
        for kind in ("fixed", "learned", "generator", "fixed-clipped")
    ]


@pytest.mark.parametrize(
    "only, count", [("mnist", 4), ("fashion_mnist/resnet20", 5), ("cifar10/resnet20/learned", 1)]
)
def test_a_part_of_a_table(only, count):
    assert len(tables.cells("table1", only)) == count


@pytest.mark.parametrize(
    "table, only, message",
    [
        ("table3", None, "unknown table 'table3': expected table1 or table2"),
        ("table1", "svhn", "table1 has no cell 'svhn'"),
        ("table2", "mnist", "table2 has no cell 'mnist'"),
    ],
)
def test_what_is_no_cell_is_refused(table, only, message):
    with pytest.raises(ValueError, match=message):
        tables.cells(table, only)


def test_every_cell_has_a_recipe_of_its_column():
    for name in tables.cells("table1"):
        assert (name.dataset, name.network) in experiments.FULL_RECIPES
        recipe = experiments.recipe_of(name)
        assert not (name.dataset == "mnist" and recipe.flip), "a mirrored digit is no digit"
        plain = experiments.recipe_of(name._replace(transform="baseline"))
        exceptions = [changed for (_, network, transform), changed in experiments.EXCEPTIONS.items()
                      if (network, transform) == (name.network, name.transform)]
        said = {setting: getattr(plain, setting) for changed in exceptions for setting in changed}
        assert dataclasses.replace(recipe, **said) == plain, (
            "one recipe for every transform, but for the exceptions"
        )
        assert plain == experiments.FULL_RECIPES[name.dataset, name.network], (
            "a baseline is no exception"
        )


def test_an_exception_may_be_one_of_a_single_data_set():
    beta = {dataset: experiments.recipe_of(tables.cell(dataset, "simple_cnn", "generator")).beta
            for dataset in ("mnist", "fashion_mnist")}
    assert beta == {"mnist": 2.0, "fashion_mnist": 0.5}


def test_the_columns_of_table_2_stand_under_one_another():
    rows = [line for line in tables.report().splitlines() if " / " in line and "source " in line]
    assert len(rows) >= 9
    assert len({line.index("source ") for line in rows}) == 1
    assert all(line[line.index("source ") - 1] == " " for line in rows)


# ---- making them again

def test_reproduce_runs_what_is_missing_and_report_prints_it(tiny, capsys):
    assert reproduce(tiny) == 0 and reproduce(tiny, only="fashion_mnist/resnet20/baseline") == 0
    out = capsys.readouterr().out
    assert "1 of 1: fashion_mnist-full/resnet20/fixed/seed0; time left for all: ?" in out
    assert files(tiny) == [
        f"fashion_mnist-full/resnet20/{kind}/seed0.{end}"
        for kind in ("baseline", "fixed")
        for end in ("json", "safetensors")
    ]
    assert files(tiny.parent / "cache") == [], "a checkpoint of a finished run is left"
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*")}
    assert reproduce(tiny) == 0
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("*")} == before, (
        "a recorded run was run again"
    )

    capsys.readouterr()
    assert cli.main(["report", "--folder", str(tiny)]) == 0
    text = capsys.readouterr().out
    record = ap.records("fashion_mnist", "resnet20", "fixed", "full", folder=tiny)[0]["came_out"][
        "test"
    ]
    row, = (line for line in text.splitlines() if line.startswith("fashion_mnist resnet20 fixed "))
    low, high = record["authorized"]["interval"]
    assert (
        f"{100 * record['authorized']['accuracy']:.2f} [{100 * low:.1f}, {100 * high:.1f}]" in row
    )
    assert (
        f"{100 * record['unauthorized']['accuracy']:.2f} [" in row
        and "91.65" in row
        and " 0.63 " in row
    )
    assert f"{100 * record['authorized']['accuracy'] - 91.65:+.2f}" in row
    missing = text.splitlines()[-1]
    assert missing.startswith("Missing: ") and "fashion_mnist resnet20 learned" in missing
    assert (
        "fashion_mnist resnet20 fixed;" not in missing
        and "fashion_mnist resnet20 baseline" not in missing
    )


def test_over_several_seeds_the_report_gives_mean_and_deviation(tiny, capsys):
    assert reproduce(tiny, "--seeds", "2", only="mnist/simple_cnn/baseline") == 0
    runs = ap.records("mnist", "simple_cnn", "baseline", "full", folder=tiny)
    ours = experiments.across_seeds(runs, "accuracy")
    (row,) = (
        line
        for line in tables.report(tiny).splitlines()
        if line.startswith("mnist simple_cnn baseline")
    )
    assert (
        f" {100 * ours.mean:.2f} ± {100 * ours.sd:.2f} " in row
        and row.endswith(" 2")
        and "[" not in row
    )


def test_nothing_is_printed_that_has_no_record(tmp_path):
    text = tables.report(tmp_path)
    figures = re.findall(r"\d+\.\d+", text)
    assert figures == [] and text.count("; ") >= 18
    assert "fashion_mnist resnet20 fixed-clipped;" in text and "attacks on fixed-clipped" in text


def test_clipped_training_has_a_row_without_a_figure_of_the_source(tiny):
    assert reproduce(tiny, only="fashion_mnist/resnet20/fixed-clipped") == 0
    test = ap.records("fashion_mnist", "resnet20", "fixed-clipped", "full", folder=tiny)[0][
        "came_out"
    ]["test"]
    (line,) = (
        line
        for line in tables.report(tiny).splitlines()
        if line.startswith("fashion_mnist resnet20 fixed-clipped ")
    )
    numbers = [float(number) for number in re.findall(r"\d+\.\d\d\b", line)]
    assert numbers == [
        round(100 * test[what]["accuracy"], 2) for what in ("authorized", "unauthorized")
    ]


# ---- what is missing, and why

def named(text):
    """{what a cell is called: (its seeds, the reason)} of the cells with fewer than three seeds."""
    lines = text.partition("Fewer than 3 seeds:\n")[2].partition("\n\n")[0].splitlines()
    found = {}
    for cells, why in zip(lines[::2], lines[1::2], strict=True):
        names, _, seeds = cells.strip().rpartition(": ")
        found |= dict.fromkeys(names.split(", "), (seeds, why.strip()))
    return found


def test_every_cell_with_fewer_than_three_seeds_is_named_with_its_reason(monkeypatch, tmp_path):
    monkeypatch.setenv("APDNN_DATA", str(tmp_path))
    monkeypatch.setattr(_sources, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(_sources, "SYSTEM", tmp_path / "debian")
    found = named(tables.report())
    few = {" ".join((row["dataset"], row["network"], row["transform"])): len(row["records"])
           for row in tables.table_1() if len(row["records"]) < 3}
    assert set(few.values()) == {0} and {name.split()[0] for name in few} == {"cifar10"}
    attacked = {row["transform"]: len(row["records"]) for row in tables.table_2()}
    assert attacked == {"fixed": 3, "learned": 3, "generator": 3, "fixed-clipped": 1}
    mended = "cifar10_jpeg resnet20 fixed with the mended loss"
    assert found.keys() == {*few, "attacks on fixed-clipped", mended}
    assert found[mended][0] == "1" and "cifar10_jpeg is not at hand" in found[mended][1]
    seeds, why = found["attacks on fixed-clipped"]
    assert seeds == "1" and why.startswith("the weights of seeds 1, 2 are not stored")
    assert all(found[name][0] == "none" and "cifar10 is not at hand: `apdnn data`" in found[name][1]
               for name in few)
    (tmp_path / "cifar-10-python.tar.gz").touch()
    assert named(tables.report())["cifar10 resnet20 fixed"] == (
        "none", "not run: `apdnn reproduce table1 --only cifar10/resnet20 --seeds 3`")


def test_the_reasons_in_a_folder_of_ones_own(tmp_path):
    test = {what: {"accuracy": 0.5, "interval": [0, 1]} for what in ("authorized", "unauthorized")}
    for kind, seeds, stored in (("fixed", 3, True), ("learned", 2, False)):
        for seed in range(seeds):
            name = tables.cell("fashion_mnist", "resnet20", kind, seed)
            Archive(tmp_path).write(name, {"recipe": {}}, {"test": test} | (
                {"weights": {}} if stored else {}), {"seconds": 1})
    found = named(tables.report(tmp_path))
    assert "fashion_mnist resnet20 fixed" not in found
    assert found["fashion_mnist resnet20 learned"][0] == "2"
    assert found["attacks on fixed"] == (
        "none", "not run: `apdnn attack fashion_mnist resnet20 fixed --size full "
                "--seeds 0 1 2 --folder FOLDER`")
    assert found["attacks on learned"][1].startswith("the weights of seeds 0, 1 are not stored")


def test_the_commands_that_the_reasons_name_are_commands():
    name = tables.cell("fashion_mnist", "resnet20", "fixed-clipped")
    for what, more in (("run", ["--keep-weights"]), ("attack", [])):
        typed = [*gaps.command(name, what).split()[1:], *more, "--folder", "FOLDER"]
        options = cli.parser().parse_args(typed)
        assert options.size == "full" and options.seeds == [0, 1, 2]


# ---- the mended loss

def test_beside_each_cell_that_is_above_the_sources_stands_the_mended_loss():
    text = tables.report().partition("Cells that let more raw images pass")[2].partition(
        "\n\nTable 2")[0]
    shown = {tuple(line.split()[:3]): line.split()[3:] for line in text.splitlines()[4:]}
    above = {}
    for row in tables.table_1():
        name = row["dataset"], row["network"], row["transform"]
        if row["records"] and row["paper"][1]:
            raw = 100 * experiments.across_seeds(row["records"], "unauthorized").mean
            if raw > row["paper"][1]:
                above[name] = raw, row["paper"][1]
    assert shown.keys() == above.keys() and len(above) == 7
    for (dataset, network, transform), (raw, paper) in above.items():
        cells = shown[dataset, network, transform]
        assert cells[:2] == [f"{raw:.2f}", f"{paper:.2f}"]
        runs = experiments.beyond.seeds("unlikelihood", transform, network, "full", dataset)
        for what, cell in (("unauthorized", cells[5]), ("authorized", cells[6])):
            assert cell == f"{100 * experiments.across_seeds(runs, what).mean:.2f}"
        seeds = 1 if dataset == "cifar10_jpeg" else 3  # an hour and a half each, on a processor
        assert float(cells[5]) <= paper and cells[7] == str(seeds)
    few = tables.report().partition("Fewer than 3 seeds:")[2].splitlines()
    place = few.index("  cifar10_jpeg resnet20 fixed with the mended loss: 1")
    assert ("`apdnn beyond cifar10_jpeg resnet20 fixed --size full --seeds 0 1 2 --what "
            "unlikelihood --train-only`") in few[place + 1]
    assert sum("mended loss" in line for line in few) == 1


def test_without_a_record_of_the_mended_loss_none_is_shown(tmp_path):
    name = tables.cell("mnist", "simple_cnn", "fixed")
    test = {what: {"accuracy": share, "interval": [0, 1]}
            for what, share in (("authorized", 0.9), ("unauthorized", 0.1))}
    Archive(tmp_path).write(name, {"recipe": {}}, {"test": test}, {"seconds": 1})
    line, = (line for line in tables.report(tmp_path).splitlines()
             if line.startswith("  mnist simple_cnn fixed "))
    assert line.split()[3:] == "10.00 0.24 1 of 1 no run with the mended loss is recorded".split()
    asked = name._asdict() | {"what": "unlikelihood"}
    file = tmp_path / "unlikelihood" / f"{name}.json"
    test["unauthorized"]["accuracy"] = 0.001
    experiments.write_record(file, asked, {"test": test}, {"seconds": 1})
    line, few = (line for line in tables.report(tmp_path).splitlines()
                 if line.startswith("  mnist simple_cnn fixed "))
    assert line.split()[3:] == "10.00 0.24 1 of 1 0.10 90.00 1".split()
    assert few == "  mnist simple_cnn fixed with the mended loss: 1"
    experiments.write_record(file, asked | {"seed": 1}, {"test": test}, {"seconds": 1})
    with pytest.raises(RecordError, match="in the wrong place, or not of the lock unlikelihood"):
        tables.report(tmp_path)


# ---- the picture

def test_the_picture_shows_what_is_recorded_and_says_what_is_not(tiny, tmp_path, capsys):
    def draw(file):
        return cli.main(["picture", "fashion_mnist", "--folder", str(tiny), "--to", str(file)])

    assert draw(tmp_path / "one.png") == 0
    out = capsys.readouterr().out
    assert "processed by fixed\n" in out and "not trained yet: learned, generator" in out
    assert reproduce(tiny, only="fashion_mnist/resnet20/learned") == 0
    owners, missing = tables.owners("fashion_mnist", archive=tiny)
    trained = ap.pretrained("fashion_mnist", "resnet20", "learned", "full", folder=tiny).transform
    assert list(owners) == ["fixed", "learned"] and missing == ["generator"]
    assert torch.equal(owners["learned"].delta, trained.delta)
    assert (tmp_path / "one.png").read_bytes()[1:4] == b"PNG"
    capsys.readouterr()
    few = [
        "picture",
        "fashion_mnist",
        "--folder",
        str(tiny),
        "--to",
        str(tmp_path / "few.png"),
        "--classes",
    ]
    assert (
        cli.main([*few, "0"]) == 1
        and "--classes: expected at least 1, got 0" in capsys.readouterr().err
    )
    assert cli.main([*few, "2"]) == 0
    with Image.open(tmp_path / "one.png") as all_classes, Image.open(tmp_path / "few.png") as two:
        assert two.width < all_classes.width / 2


def test_the_fixed_transform_of_a_picture_is_the_one_that_a_run_would_draw(tiny):
    assert reproduce(tiny, only="fashion_mnist/resnet20/fixed") == 0
    drawn, recorded = (
        tables.owners("fashion_mnist", archive=folder)[0]["fixed"]
        for folder in (tiny / "empty", tiny)
    )
    assert torch.equal(drawn.key, recorded.key)


def test_no_picture_without_its_data(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("APDNN_DATA", str(tmp_path))
    monkeypatch.setattr(_sources, "cache_folder", lambda: tmp_path / "cache")
    assert cli.main(["picture", "cifar10", "--to", str(tmp_path / "one.png")]) == 1
    assert "cifar10 (size 'full') was not found" in capsys.readouterr().err and not list(
        tmp_path.glob("*.png")
    )


def test_a_stopped_cell_goes_on_after_its_last_finished_epoch(tiny, monkeypatch):
    batches = press_ctrl_c(monkeypatch, 3)
    only = "fashion_mnist/resnet20/learned"
    assert reproduce(tiny, only=only) == 130
    assert files(tiny.parent / "cache") == [
        "checkpoints/fashion_mnist-full-resnet20-learned-seed0-2.safetensors"
    ]
    assert reproduce(tiny, only=only) == 0 and len(batches) == 3 + 2, "it began anew"


def test_a_stopped_attack_goes_on_after_the_last_finished_one(tiny, monkeypatch):
    assert reproduce(tiny, only="fashion_mnist/resnet20/learned") == 0
    name = tables.cells("table2", "fashion_mnist/resnet20/learned")[0]
    seen, measure = [], thief.access

    def stop(net, test, guesses):
        seen.append(len(guesses.transforms))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return measure(net, test, guesses)

    monkeypatch.setattr(thief, "access", stop)
    with pytest.raises(KeyboardInterrupt):
        list(again.make_missing("table2", [name], tiny, "cpu", draws=2, tries=2))
    assert path_of_part(name, tiny).exists() and not Archive(tiny).path(name, attacks=True).exists()
    record, = again.make_missing("table2", [name], tiny, "cpu", draws=2, tries=2)
    assert len(seen) == len(record["came_out"]) + 1, "a finished attack was run again"
    assert not list(tiny.rglob("*.unfinished"))
    whole = experiments.run_attacks(name, tiny, 2, 2, "cpu")
    assert whole["came_out"] == record["came_out"], "the stop changed what came out"


def test_pairs_of_a_full_set_are_all_official_training_images(tiny, monkeypatch):
    # How well the thief imitates does not matter here, and 500 steps of each try take a minute.
    monkeypatch.setattr(attacks, "pair", partial(attacks.pair, steps=2))
    assert reproduce(tiny, only="fashion_mnist/resnet20/generator") == 0
    (record,) = again.make_missing(
        "table2",
        tables.cells("table2", "fashion_mnist/resnet20/generator"),
        tiny,
        "cpu",
        draws=2,
        tries=2,
    )
    small = data.load()
    half = round(0.5 * (len(small.train) + len(small.validation)))
    assert {attack for attack in record["came_out"] if attack.startswith("pair")} == {
        f"pair_{pairs}_width_{width}" for pairs in (1, 3, half) for width in thief.THIEF_WIDTHS
    }


def test_other_epochs_need_a_folder_of_their_own(tiny, capsys):
    assert cli.main(["reproduce", "table1", "--only", "mnist", "--epochs", "1"]) == 1
    assert "name a folder for it" in capsys.readouterr().err
    assert reproduce(tiny, "--epochs", "1", only="mnist/simple_cnn/baseline") == 0
    record, = ap.records("mnist", "simple_cnn", "baseline", "full", folder=tiny)
    assert record["asked"]["recipe"]["epochs"] == 1 == len(record["came_out"]["validation"])


def test_the_list_says_what_is_recorded_and_how_long_the_rest_takes(tiny, capsys):
    assert reproduce(tiny, only="mnist/simple_cnn/fixed") == 0
    capsys.readouterr()
    assert reproduce(tiny, "--list", only="mnist") == 0
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert lines["mnist-full/simple_cnn/fixed/seed0"][0] == "recorded"
    assert lines["mnist-full/simple_cnn/baseline/seed0"][0] == "missing"
    assert all(len(rest) == 3 and rest[2] == "s" for rest in lines.values())
    assert reproduce(tiny, "--list", only="cifar10") == 0
    assert all(line.split()[-1] == "?" for line in capsys.readouterr().out.splitlines()), (
        "nothing like it was recorded"
    )


def test_estimates_go_by_passes_epochs_and_images(tmp_path):
    name = Name("fashion_mnist", "full", "resnet20", "fixed", 0)
    recipe = recipes.recorded_settings(experiments.recipe_of(name))
    archive = Archive(tmp_path)

    def write(name, seconds, epochs):
        archive.write(name, {"recipe": recipe | {"epochs": epochs}}, {}, {"seconds": seconds})

    assert again.seconds_for(name, "table1", tmp_path) is None
    other = experiments.recipe_of(name._replace(dataset="cifar10", transform="learned")).epochs
    write(name._replace(dataset="cifar10", transform="learned"), 100.0, other)
    assert again.seconds_for(name, "table1", tmp_path) == pytest.approx(
        100 * recipe["epochs"] / other * 55 / 45 * (28 / 32) ** 2
    ), "by another data set, where there is nothing nearer"
    write(name._replace(size="mini", transform="baseline"), 100.0, recipe["epochs"])
    assert again.seconds_for(name, "table1", tmp_path) == pytest.approx(100 * 2 * 5.5)
    write(name._replace(transform="generator"), 100.0, 2 * recipe["epochs"])
    assert again.seconds_for(name, "table1", tmp_path) == pytest.approx(50)
    assert again.seconds_for(
        name._replace(transform="baseline"), "table1", tmp_path
    ) == pytest.approx(25)

    def attacked(name, seconds):
        archive.write(name, {"network_record_sha256": "0"}, {}, {"seconds": seconds}, attacks=True)

    assert again.seconds_for(name, "table2", tmp_path) is None
    attacked(name._replace(size="mini"), 10.0)
    assert again.seconds_for(name, "table2", tmp_path) == pytest.approx(30), (
        "12,000 images a candidate instead of 4,000"
    )
    attacked(name, 20.0)
    assert again.seconds_for(name, "table2", tmp_path) == pytest.approx(20)


def test_a_damaged_record_is_an_error_and_not_a_gap(tiny):
    assert reproduce(tiny, only="mnist/simple_cnn/baseline") == 0
    path = tiny / "mnist-full/simple_cnn/baseline/seed0.json"
    record = json.loads(path.read_text())
    record["came_out"]["test"]["accuracy"]["correct"] += 1
    path.write_text(json.dumps(record))
    with pytest.raises(RecordError, match="altered"):
        tables.report(tiny)


def test_last_and_selected_weights_are_both_measured(tiny):
    assert reproduce(tiny, only="fashion_mnist/resnet20/learned") == 0
    record, = ap.records("fashion_mnist", "resnet20", "learned", "full", folder=tiny)
    scores = [
        epoch["authorized"] - epoch["unauthorized"] for epoch in record["came_out"]["validation"]
    ]
    selected = record["came_out"]["selected"]
    assert selected["epoch"] == scores.index(max(scores)) + 1
    assert selected["test"].keys() == {"authorized", "unauthorized"}
    row, = (row for row in tables.table_1(tiny) if row["records"])
    assert row["ours"][0].across.mean == record["came_out"]["test"]["authorized"]["accuracy"], (
        "the table has the last epoch"
    )


def test_the_jpeg_copy_has_a_row_of_its_own_and_leaves_cifar10_missing(tiny):
    assert reproduce(tiny, only="cifar10_jpeg/resnet20/baseline") == 0
    lines = tables.report(tiny).splitlines()
    assert [line.split()[:3] for line in lines if "90.74" in line] == [
        ["cifar10_jpeg", "resnet20", "baseline"]
    ]
    assert "cifar10 resnet20 baseline" in lines[-1]


def test_what_comes_with_the_package_is_not_run_again_unless_a_folder_is_named(tiny, capsys):
    command = ["reproduce", "table1", "--only", "mnist/simple_cnn/baseline", "--seeds", "4"]
    assert cli.main([*command, "--device", "cpu"]) == 0
    assert (
        "All 4 are recorded. `python -m apdnn_lite report --with-shipped`"
        in capsys.readouterr().out
    )
    assert files(tiny.parent / "own") == ["records/mnist-full/simple_cnn/baseline/seed3.json"]
    assert cli.main([*command, "--list"]) == 0
    assert capsys.readouterr().out.count(" recorded ") == 4
    assert cli.main([*command, "--list", "--folder", str(tiny)]) == 0
    assert capsys.readouterr().out.count(" missing ") == 4
    seeds = {}
    for more in ([], ["--with-shipped"]):
        assert cli.main(["report", *more]) == 0
        row, = (line for line in capsys.readouterr().out.splitlines()
                if line.startswith("mnist simple_cnn baseline"))
        seeds[tuple(more)] = row.split()[-1]
    assert seeds == {(): "3", ("--with-shipped",): "4"}


def test_records_without_a_test_are_in_no_table(tmp_path):
    name = tables.cell("mnist", "simple_cnn", "baseline")
    Archive(tmp_path).write(
        name, {"recipe": {}}, {"validation": [{"accuracy": 0.5}]}, {"seconds": 1}
    )
    assert not any(row["records"] for row in tables.table_1(tmp_path))


def test_across_seeds():
    made = [
        {"came_out": {"test": {"authorized": {"accuracy": value}}}} for value in (0.8, 0.9, 0.7)
    ]
    mean, sd, count = experiments.across_seeds(made)
    assert (mean, sd, count) == (pytest.approx(0.8), pytest.approx(0.1), 3)
    assert experiments.across_seeds(made[:1]) == (0.8, None, 1)
    assert str(experiments.across_seeds(made)) == "80.0 ± 10.0 (3 seeds)"
    assert str(experiments.across_seeds(made[:1])) == "80.0 (1 seed)"

    def twice(record):
        return 2 * record["came_out"]["test"]["authorized"]["accuracy"]

    double = experiments.across_seeds(made, twice)
    assert (double.mean, double.sd, double.seeds) == (pytest.approx(1.6), pytest.approx(0.2), 3)
    with pytest.raises(ValueError, match="at least one record"):
        experiments.across_seeds([])


def test_every_network_and_data_set_has_a_title():
    assert {*data.CLASSES, *experiments.NETWORKS} == tables.TITLES.keys()
