"""The source's two tables, and ours beside them: what is recorded, what is missing, how to make it again.

``python -m apdnn_lite reproduce`` runs what is missing, ``python -m apdnn_lite report`` prints both
tables. No number of ours is printed that has no record.

The source's figures: Chen and Wu (2018), Tables 1 and 2, test accuracy in per cent.
"""

import time
from dataclasses import replace
from itertools import product
from statistics import fmean
from typing import NamedTuple

from . import experiments
from .experiments import Name, across_seeds, recipe_of, record_path, recorded

TRANSFORMS = ("fixed", "learned", "generator")
# Table 1, (authorized, unauthorized); its columns in the order in which ours are worth having.
PAPER_1 = {
    ("fashion_mnist", "resnet20"): {"baseline": (92.63, None), "fixed": (91.65, 0.63), "learned": (92.56, 0.65),
                                    "generator": (92.55, 1.55)},
    ("fashion_mnist", "simple_cnn"): {"baseline": (91.80, None), "fixed": (91.88, 1.09), "learned": (92.06, 2.18),
                                      "generator": (91.82, 2.76)},
    ("mnist", "simple_cnn"): {"baseline": (99.12, None), "fixed": (99.24, 0.24), "learned": (99.18, 0.10),
                              "generator": (99.23, 0.23)},
    ("cifar10", "resnet20"): {"baseline": (90.74, None), "fixed": (89.73, 0.52), "learned": (90.58, 0.86),
                              "generator": (90.61, 0.78)},
}
# Table 2, attacks on Fashion-MNIST and ResNet-20: (mean, best). A slide prints 81.11 for 84.17.
PAPER_2 = {
    "direct": {"fixed": (0.63,), "learned": (0.65,), "generator": (1.55,)},
    "input_only": {"fixed": (66.23, 78.96), "learned": (55.37, 79.42), "generator": (3.17, 4.95)},
    "pair_6000": {"generator": (75.05, 82.11)},
    "pair_30000": {"generator": (76.31, 84.17)},
    "pair_60000": {"generator": (77.24, 86.00)},
}
TABLE_2 = ("fashion_mnist", "resnet20")
CLIPPED = {"fixed-clipped": (None, None)}  # of TABLE_2's networks; the source does not say whether it clips
JPEG = ("cifar10_jpeg", "resnet20")  # stands in for CIFAR-10 where the original is not at hand, and says so
# For estimates of time: training images of the full sets, and of attacks the images that each candidate is run on.
TRAINING_IMAGES = {"fashion_mnist": 55_000, "mnist": 55_000, "cifar10": 45_000, "cifar10_jpeg": 45_000}
MINI_TO_FULL_ATTACK = (10_000 + experiments.THIEF_IMAGES) / (2_000 + experiments.THIEF_IMAGES)
WEIGHTS = "resnet20"  # of these networks the weights are stored: attacks and pictures need them
LABELS = {"direct": "direct piracy", "brightness": "brightness, 17 shifts", "input_only": "input-only",
          "input_only_loud": "input-only, louder", "input_only_matched": "input-only, σ matched", "climb": "climbing the score",
          "pair_1": "1 pair", "pair_10": "10 pairs", "pair_100": "100 pairs", "pair_6000": "pairs, 10 %",
          "pair_30000": "pairs, 50 %", "pair_60000": "pairs, 100 %"}


def cell(dataset, network, transform, seed=0):
    """The full-size run in one cell of Table 1."""
    return Name(dataset, "full", network, transform, seed)


def cells(table, only=None, seeds=1):
    """The runs of a table, as :class:`~apdnn_lite.experiments.Name`, in the order in which they are worth having.

    table: "table1" (trained networks) or "table2" (attacks on them).
    only: a part of the names, such as "fashion_mnist/resnet20" or "fashion_mnist/resnet20/generator";
        "cifar10_jpeg" names the JPEG copy of CIFAR-10, which is not run unless asked for.
    Raises ValueError if the table is unknown or nothing is called so.
    """
    if table not in ("table1", "table2"):
        raise ValueError(f"unknown table {table!r}: expected table1 or table2")
    wanted = tuple((only or "").split("/"))
    found = []
    columns = (TABLE_2,) if table == "table2" else (JPEG,) if wanted[0] == JPEG[0] else PAPER_1
    for dataset, network in columns:
        clipped = CLIPPED if (dataset, network) == TABLE_2 else ()
        for transform in ("baseline", *TRANSFORMS, *clipped)[table == "table2":]:
            if only is None or (dataset, network, transform)[:len(wanted)] == wanted:
                found += [cell(dataset, network, transform, seed) for seed in range(seeds)]
    if not found:
        raise ValueError(f"{table} has no cell {only!r}: expected a data set, a network and a transform, such as "
                         "fashion_mnist/resnet20/generator, or the first of them")
    return sorted(found, key=lambda name: name.seed)  # a whole table of one seed first


def path_of(name, table, folder=None):
    """Where the record of a cell lies."""
    path = record_path(name, folder)
    return path.with_suffix(".attacks.json") if table == "table2" else path


def seconds_for(name, table, folder=None):
    """About how long a cell takes, from a record like it (on that record's machine); None where there is none.

    Like it is the same cell, another transform of its network, the mini set, and last another data set: each in
    proportion to what is computed.
    """
    attacks = table == "table2"
    for dataset, size in dict.fromkeys(product((name.dataset, *TRAINING_IMAGES), ("full", "mini"))):
        for transform in dict.fromkeys((name.transform, *TRANSFORMS, "baseline")):
            for record in recorded(name._replace(dataset=dataset, size=size, transform=transform), attacks, folder):
                if attacks:
                    return record["how"]["seconds"] * (MINI_TO_FULL_ATTACK if size == "mini" else 1)
                like = experiments.name_of(record)
                return record["how"]["seconds"] * work(name, recipe_of(name).epochs) / work(like, record["asked"]["recipe"]["epochs"])
    return None


def work(name, epochs):
    """What training a run computes, in pixels that go through its network: without a transform it sees each image once."""
    images = TRAINING_IMAGES[name.dataset] if name.size == "full" else 10_000
    _, height, width = experiments.image_shape(name.dataset)
    return epochs * images * height * width * (1 if name.transform == "baseline" else 2)


def clock(seconds):
    """Seconds as people say them; "?" for None."""
    if seconds is None:
        return "?"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def listing(table, names, folder=None):
    """One line for each cell: recorded or missing, and how long it takes."""
    lines = []
    for name in names:
        state = "recorded" if path_of(name, table, folder).exists() else "missing"
        lines.append(f"{name!s:50} {state:9} {clock(seconds_for(name, table, folder))}")
    return "\n".join(lines)


def reproduce(table, names, folder=None, device="auto", epochs=None, draws=100, tries=10, progress=print):
    """Run the cells that are not recorded, in their order; yields each record as it comes.

    A cell that was stopped goes on after its last finished epoch or attack. Stops after a Ctrl-C.
    epochs: instead of the recipe's. Such runs are no cells of the table: they need a ``folder`` of their own.
    progress: is told before each cell what comes and how long the rest will take.
    """
    if epochs is not None and folder is None:
        raise ValueError("a run with other epochs than the recipe's is no cell of the table: name a folder for it")
    missing = [name for name in names if not path_of(name, table, folder).exists()]
    pace = 1.0  # of this machine, against the one of the records that estimates come from
    for place, name in enumerate(missing):
        expected = [seconds_for(each, table, folder) for each in missing[place:]]
        left = None if None in expected else pace * sum(expected)
        progress(f"{place + 1} of {len(missing)}: {name}; time left for all: {clock(left)}")
        began = time.perf_counter()
        if table == "table2":
            record = experiments.run_attacks(name, folder, draws, tries, device)
        else:
            recipe = recipe_of(name) if epochs is None else replace(recipe_of(name), epochs=epochs)
            checkpoint = experiments.checkpoint_path(name, recipe)
            record = experiments.run(name, folder, device, checkpoint, recipe=recipe,
                                     keep_weights=name.network == WEIGHTS)
            if record is None:
                return
            checkpoint.unlink(missing_ok=True)
        if expected[0]:
            pace = (time.perf_counter() - began) / expected[0]
        yield record


def owners(dataset, network="resnet20", folder=None):
    """The transforms of a full set, by name, and the names of those that are missing, because training makes them.

    Transforms are those of the recorded networks of seed 0 whose weights are stored; the fixed one needs no training, so
    that where it is not recorded it is drawn as a run would draw it.
    """
    found, missing = {}, []
    for transform in TRANSFORMS:
        name = cell(dataset, network, transform)
        run = next((run for run in recorded(name, folder=folder) if run["asked"]["seed"] == name.seed), {"came_out": {}})
        if "weights" in run["came_out"]:
            found[transform] = experiments.pretrained(dataset, network, transform, "full", folder=folder).transform
        elif transform == "fixed":
            found[transform] = experiments.make_transform(transform, experiments.image_shape(dataset), recipe_of(name), name.seed)
        else:
            missing.append(transform)
    return found, missing


# ---- the report

class Ours(NamedTuple):
    """A figure of ours: over several seeds mean and sd, for a single one the interval for its test images."""

    across: experiments.AcrossSeeds
    interval: tuple | None

    def __str__(self):
        mean, sd, _ = self.across
        if sd is not None:
            return f"{100 * mean:.2f} ± {100 * sd:.2f}"
        return f"{100 * mean:.2f}" + (f" [{100 * self.interval[0]:.1f}, {100 * self.interval[1]:.1f}]" if self.interval else "")


def table_1(folder=None):
    """The rows of Table 1: dicts with the source's figures (None where it has none), the records and, if there are any, ours."""
    rows = []
    copy = {JPEG: PAPER_1["cifar10", "resnet20"]} if recorded(cell(*JPEG, "baseline"), folder=folder) else {}
    for (dataset, network), column in (PAPER_1 | copy).items():
        clipped = CLIPPED if (dataset, network) == TABLE_2 else {}
        for transform, paper in (column | clipped).items():
            records = recorded(cell(dataset, network, transform), folder=folder)
            ours = []
            for what in ("accuracy",) if transform == "baseline" else ("authorized", "unauthorized"):
                if records:
                    across = across_seeds(records, what)
                    ours.append(Ours(across, records[0]["came_out"]["test"][what]["interval"] if len(records) == 1 else None))
            rows.append({"dataset": dataset, "network": network, "transform": transform, "paper": paper,
                         "records": records, "ours": ours})
    return rows


def mean(out):
    return fmean(out["accuracies"])


def best(out):
    return max(out["accuracies"])


def picked(out):
    return out["accuracies"][out["picked"]]


def table_2(folder=None):
    """The rows of Table 2 in the same way; ours are mean, best and the thief's pick, by the width of his generator."""
    rows = []
    for attack in LABELS:
        for transform in (*TRANSFORMS, *CLIPPED):
            records = recorded(cell(*TABLE_2, transform), attacks=True, folder=folder)
            ours = {}
            for width in ("", "_width_16", "_width_64"):
                if records and attack + width in records[0]["came_out"]:
                    ours[width] = [Ours(across_seeds(records, lambda run: pick(run["came_out"][attack + width])), None)
                                   for pick in (mean, best, picked)]
            rows.append({"attack": attack, "transform": transform, "records": records, "ours": ours,
                         "paper": PAPER_2.get(attack, {}).get(transform, ())})
    return rows


def report(folder=None):
    """Both tables as text, the source's figures beside ours, and what is missing."""
    lines = ["Table 1, test accuracy in %; the difference is ours less the source's; ± is the standard deviation over",
             "seeds, [] the 95 % interval of a single one for its test images", "",
             f"{'':38}{'authorized':22}{'source':8}{'difference':12}{'unauthorized':20}{'source':8}seeds"]
    missing = []
    for row in table_1(folder):
        name = f"{row['dataset']} {row['network']} {row['transform']}"
        if not row["records"]:
            missing.append(name)
            continue
        across = row["ours"][0].across
        line = f"{name:38}{row['ours'][0]!s:22}"
        line += f"{row['paper'][0]:<8.2f}{100 * across.mean - row['paper'][0]:<+12.2f}" if row["paper"][0] else f"{'–':20}"
        if len(row["ours"]) == 2:
            line += f"{row['ours'][1]!s:20}" + (f"{row['paper'][1]:<8.2f}" if row["paper"][1] else "–")
        lines.append(f"{line:108}{across.seeds}")
    lines += ["", "Table 2, attacks on Fashion-MNIST and ResNet-20, accuracy in %: mean / best / the thief's own pick", ""]
    for row in table_2(folder):
        if not row["records"]:
            missing.append(f"attacks on {row['transform']}")
            continue
        for width, values in row["ours"].items():
            label = LABELS[row["attack"]] + width.replace("_width_", ", thief's width ")
            lines.append(f"{label:32}{row['transform']:15}{' / '.join(map(str, values)):42}"
                         f"{'source ' + ' / '.join(f'{value:.2f}' for value in row['paper']) if row['paper'] else ''}".rstrip())
    missing = list(dict.fromkeys(missing))
    lines += ["", "Missing: " + "; ".join(missing) if missing else "Nothing is missing."]
    return "\n".join(lines)
