"""The source's two tables, and ours beside them: what is recorded and what is missing.

``python -m apdnn_lite report`` prints both. No number of ours is printed that has no record.
The source's numbers: Chen and Wu (2018), Tables 1 and 2, test accuracy in percent.
"""

import statistics
from typing import NamedTuple

from .._checks import whole_number
from . import gaps
from .recipes import NETWORKS, Name, checked_name, image_shape, recipe_of
from .records import archive_of
from .thief import result_of
from .weights import load_network, make_transform

TRANSFORMS = ("fixed", "learned", "generator")
# Table 1, (authorized, unauthorized); its columns in the order in which ours are worth having.
PAPER_1 = {
    ("fashion_mnist", "resnet20"): {"baseline": (92.63, None), "fixed": (91.65, 0.63),
                                    "learned": (92.56, 0.65), "generator": (92.55, 1.55)},
    ("fashion_mnist", "simple_cnn"): {"baseline": (91.80, None), "fixed": (91.88, 1.09),
                                      "learned": (92.06, 2.18), "generator": (91.82, 2.76)},
    ("mnist", "simple_cnn"): {"baseline": (99.12, None), "fixed": (99.24, 0.24),
                              "learned": (99.18, 0.10), "generator": (99.23, 0.23)},
    ("cifar10", "resnet20"): {"baseline": (90.74, None), "fixed": (89.73, 0.52),
                              "learned": (90.58, 0.86), "generator": (90.61, 0.78)},
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
# Of TABLE_2's networks; the source does not say whether it clips.
CLIPPED = {"fixed-clipped": (None, None)}
# Stands in for CIFAR-10 where the original is not at hand, and says so.
JPEG = ("cifar10_jpeg", "resnet20")
TITLES = NETWORKS | {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10",
                     "cifar10_jpeg": "CIFAR-10, JPEG copy"}
LABELS = {"direct": "direct piracy", "brightness": "brightness, 17 shifts",
          "input_only": "input-only", "input_only_loud": "input-only, strong",
          "input_only_matched": "input-only, σ matched", "climb": "climbing the score",
          "pair_1": "1 pair", "pair_10": "10 pairs", "pair_100": "100 pairs",
          "pair_6000": "pairs, 10 %", "pair_30000": "pairs, 50 %", "pair_60000": "pairs, 100 %"}


# ---- figures over seeds, and of attacks

class AcrossSeeds(NamedTuple):
    """Mean and sample standard deviation (None for one seed) of an accuracy, and the seeds."""

    mean: float
    sd: float | None
    seeds: int

    def __str__(self):
        spread = f" ± {100 * self.sd:.1f}" if self.sd is not None else ""
        return (f"{100 * self.mean:.1f}{spread} "
                f"({self.seeds} {'seed' if self.seeds == 1 else 'seeds'})")


def across_seeds(records, what="authorized"):
    """The test accuracies called ``what`` of several records, as one :class:`AcrossSeeds`.

    what: "authorized", "unauthorized", or "accuracy" for a baseline; or a function of a record.
    Raises ValueError if there is no record.
    """
    accuracies = [what(record) if callable(what) else record["came_out"]["test"][what]["accuracy"]
                  for record in records]
    if not accuracies:
        raise ValueError("expected at least one record")
    sd = statistics.stdev(accuracies) if len(accuracies) > 1 else None
    return AcrossSeeds(statistics.mean(accuracies), sd, len(accuracies))


def mean(came_out):
    """The mean accuracy of an attack's candidates, as its record has it."""
    return result_of(came_out).mean


def best(came_out):
    """The highest accuracy of an attack's candidates."""
    return result_of(came_out).best


def picked(came_out):
    """The accuracy of the candidate that the thief chose."""
    return result_of(came_out).picked


# ---- cells

def cell(dataset, network, transform, seed=0):
    """The full-size run in one cell of Table 1."""
    return Name(dataset, "full", network, transform, seed)


def cells(table, only=None, seeds=1):
    """The runs of a table, as :class:`Name`, in the order in which they are worth having.

    table: "table1" (trained networks) or "table2" (attacks on them).
    only: a part of the names, such as "fashion_mnist/resnet20/generator" or the first of them;
        "cifar10_jpeg" names the JPEG copy of CIFAR-10, which is not run unless asked for.
    Raises ValueError if the table is unknown, nothing is called so, or there is no seed.
    """
    if table not in ("table1", "table2"):
        raise ValueError(f"unknown table {table!r}: expected table1 or table2")
    seeds, wanted = whole_number("seeds", seeds), tuple((only or "").split("/"))
    found = []
    columns = (TABLE_2,) if table == "table2" else (JPEG,) if wanted[0] == JPEG[0] else PAPER_1
    for dataset, network in columns:
        clipped = CLIPPED if (dataset, network) == TABLE_2 else ()
        for transform in ("baseline", *TRANSFORMS, *clipped)[table == "table2":]:
            if only is None or (dataset, network, transform)[:len(wanted)] == wanted:
                found += [cell(dataset, network, transform, seed) for seed in range(seeds)]
    if not found:
        raise ValueError(f"{table} has no cell {only!r}: expected a data set, a network and a "
                         "transform, such as fashion_mnist/resnet20/generator, or the first of "
                         "them")
    return sorted(found, key=lambda name: name.seed)  # a whole table of one seed first


def owners(dataset, network="resnet20", archive=None):
    """The transforms of a full set, by name, and the names of those that training has yet to make.

    Transforms are those of the recorded networks of seed 0 whose weights are stored; the fixed one
    needs no training, so that where it is not recorded it is drawn as a run would draw it.
    archive: an :class:`Archive` or the path of its folder, by default the package's.
    """
    archive, found, missing = archive_of(archive), {}, []
    for transform in TRANSFORMS:
        name = checked_name(dataset, network, transform, "full")
        if archive.holder(name) and "weights" in archive.read(name)["came_out"]:
            found[transform] = load_network(name, archive).transform
        elif transform == "fixed":
            found[transform] = make_transform(transform, image_shape(dataset), recipe_of(name),
                                              name.seed)
        else:
            missing.append(transform)
    return found, missing


# ---- the report

class Ours(NamedTuple):
    """A number of ours: over several seeds mean and sd, for one the interval of its images."""

    across: AcrossSeeds
    interval: tuple | None

    def __str__(self):
        mean, sd, _ = self.across
        if sd is not None:
            return f"{100 * mean:.2f} ± {100 * sd:.2f}"
        low_high = (f" [{100 * self.interval[0]:.1f}, {100 * self.interval[1]:.1f}]"
                    if self.interval else "")
        return f"{100 * mean:.2f}{low_high}"


def ours_of(records, what):
    """Our number for what several records say of their test."""
    interval = records[0]["came_out"]["test"][what]["interval"] if len(records) == 1 else None
    return Ours(across_seeds(records, what), interval)


def table_1(folder=None):
    """The rows of Table 1: dicts of the source's numbers (or None), the records and ours."""
    archive, rows = archive_of(folder), []
    copied = bool(archive.seeds(cell(*JPEG, "baseline")))
    copy = {JPEG: PAPER_1["cifar10", "resnet20"]} if copied else {}
    for (dataset, network), column in (PAPER_1 | copy).items():
        clipped = CLIPPED if (dataset, network) == TABLE_2 else {}
        for transform, paper in (column | clipped).items():
            records = [record for record in archive.seeds(cell(dataset, network, transform))
                       if "test" in record["came_out"]]  # that of a sweep has none
            baseline = transform == "baseline"
            ours = [ours_of(records, what)
                    for what in (("accuracy",) if baseline else ("authorized", "unauthorized"))
                    if records]
            rows.append({"dataset": dataset, "network": network, "transform": transform,
                         "paper": paper, "records": records, "ours": ours})
    return rows


def table_2(folder=None):
    """The rows of Table 2; ours are mean, best and the thief's pick, by the thief's width."""
    archive, rows = archive_of(folder), []
    attacked = {transform: archive.seeds(cell(*TABLE_2, transform), attacks=True)
                for transform in (*TRANSFORMS, *CLIPPED)}
    for attack in LABELS:
        for transform, records in attacked.items():
            ours = {}
            for width in ("", "_width_16", "_width_64"):
                having = [record["came_out"][attack + width] for record in records
                          if attack + width in record["came_out"]]
                if having:
                    ours[width] = [Ours(across_seeds(having, figure), None)
                                   for figure in (mean, best, picked)]
            rows.append({"attack": attack, "transform": transform, "records": records,
                         "ours": ours, "paper": PAPER_2.get(attack, {}).get(transform, ())})
    return rows


def report(folder=None):
    """Both tables as text, the source's numbers beside ours, and what is missing."""
    archive = archive_of(folder)
    lines = ["Table 1, test accuracy in %; the difference is ours less the source's; ± is the "
             "standard deviation over", "seeds, [] the 95% interval of a single one for its test "
             "images", "", f"{'':38}{'authorized':22}{'source':8}{'difference':12}"
             f"{'unauthorized':20}{'source':8}seeds"]
    held, protected = {}, []  # of each cell the number of seeds, and why there are no more
    for row in table_1(archive):
        name = f"{row['dataset']} {row['network']} {row['transform']}"
        run = cell(row["dataset"], row["network"], row["transform"])
        held[name] = len(row["records"]), gaps.reason(run, archive)
        if not row["records"]:
            continue
        across, (paper, raw_paper) = row["ours"][0].across, row["paper"]
        line = f"{name:38}{row['ours'][0]!s:22}"
        line += f"{paper:<8.2f}{100 * across.mean - paper:<+12.2f}" if paper else f"{'–':20}"
        if len(row["ours"]) == 2:
            line += f"{row['ours'][1]!s:20}" + (f"{raw_paper:<8.2f}" if raw_paper else "–")
            protected.append((name, run, row["records"], raw_paper))
        lines.append(f"{line:108}{across.seeds}")
    lines += [*gaps.beside(protected, archive), "", "Table 2, attacks on Fashion-MNIST "
              "and ResNet-20, accuracy in %: mean / best / the thief's own pick", ""]
    held |= gaps.few_mended(protected, archive)
    for row in table_2(archive):
        name, run = f"attacks on {row['transform']}", cell(*TABLE_2, row["transform"])
        held[name] = len(row["records"]), (why := gaps.reason(run, archive, attacks=True))
        for width, values in row["ours"].items():
            label = LABELS[row["attack"]] + width.replace("_width_", ", thief's width ")
            paper = " / ".join(f"{value:.2f}" for value in row["paper"])
            if len(row["records"]) > (seeds := values[0].across.seeds):
                held[f"{label} on {row['transform']}"] = seeds, why
            lines.append(f"{label:32}{row['transform']:15}{' / '.join(map(str, values)):47}"
                         f"{'source ' * bool(paper)}{paper}".rstrip())
    if named := gaps.few_seeds(held):
        lines += ["", f"Fewer than {gaps.SEEDS} seeds:", *named]
    missing = [name for name, (seeds, _) in held.items() if not seeds]
    lines += ["", "Missing: " + "; ".join(missing) if missing else "Nothing is missing."]
    return "\n".join(lines)
