"""The runs of Table 1 that were made again on a graphics card say what the README says of them."""

from pathlib import Path

import pytest

from apdnn_lite import experiments, tables
from apdnn_lite.experiments import Archive

CARD = Path(__file__).resolve().parent.parent / "benchmarks" / "card"
RUNS = Archive(CARD).all() if CARD.is_dir() else []
pytestmark = pytest.mark.skipif(not RUNS, reason="the records of the card are not at hand")


def accuracy(run, what):
    return 100 * run["came_out"]["test"][what]["accuracy"]


def shipped():
    """Each of these runs, and the book's record of the same name if there is one."""
    for run in RUNS:
        name = experiments.name_of(run)
        for other in experiments.recorded(name):
            if other["asked"]["seed"] == name.seed:
                yield name, run, other


def pairs(what):
    """What the card and a CPU measured, for each run and kind of access that both have."""
    for name, run, other in shipped():
        if other["how"].get("device") == "cpu" and what in run["came_out"]["test"]:
            yield name, accuracy(run, what), accuracy(other, what)


def test_there_are_three_seeds_of_every_cell():
    found = {experiments.name_of(run) for run in RUNS}
    cells = [*tables.cells("table1", seeds=3), *tables.cells("table1", "cifar10_jpeg", seeds=3)]
    assert found == {name for name in cells if name.dataset != "cifar10"} and len(RUNS) == 51


def test_they_were_run_on_the_card_by_today_s_recipes():
    for run in RUNS:
        assert run["how"]["device"] == "NVIDIA H200"
        assert run["how"]["commit"].startswith("4b783c4")
        assert experiments.departures(run) == {}


def test_owners_get_the_same_on_both_machines():
    both = [*pairs("accuracy"), *pairs("authorized")]
    assert len(both) == 35 and max(abs(one - other) for _, one, other in both) <= 0.7


def test_of_the_jpeg_copy_the_book_has_the_cards_seeds_1_and_2_as_they_are():
    """All of their records but the weights, which the book does not keep."""
    found = [(name, run, other) for name, run, other in shipped()
             if name.dataset == "cifar10_jpeg" and other["how"]["device"] != "cpu"]
    assert [name.seed for name, _, _ in found] == [1, 2] * 4
    for _, run, other in found:
        left = {what: found for what, found in run["came_out"].items() if what != "weights"}
        assert left == other["came_out"] and len(left) == len(run["came_out"]) - 1
        assert run["asked"] == other["asked"] and run["how"] == other["how"]


def test_raw_images_end_near_ten_percent_or_near_nothing_and_not_in_the_same_runs():
    both = list(pairs("unauthorized"))
    for _, *found in both:
        assert all(each < 2.2 or 8.9 < each < 10.2 for each in found)
    assert sum((one > 5) != (other > 5) for _, one, other in both) == 4
