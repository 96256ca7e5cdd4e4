"""What the tables do not hold, each with its reason, and the locks that were mended.

A cell is named with how many seeds it has. The reason is looked up, not typed: whether the data
are at hand, whether weights to attack are stored, whether the run was only never asked for.
"""

import statistics

from .. import data
from .._files import ASSETS
from .records import RECORDS, Archive, RecordError, name_of, read_record

SEEDS = 3  # of every cell
MENDED = "unlikelihood"  # the lock that differs from the source's in its loss alone


# ---- fewer than three seeds

def reason(name, archive, attacks=False):
    """Why a cell, or the attacks on it, has fewer than three seeds."""
    trained = archive.seeds(name)
    if attacks and trained:
        bare = [record["asked"]["seed"] for record in trained
                if "weights" not in record["came_out"]]
        if bare:
            return (f"the weights of {seeds_of(bare)} are not stored, and an attack needs them: "
                    f"`{command(name, 'run')} --keep-weights --folder FOLDER` trains them again")
        return f"not run: `{command(name, 'attack')} --folder FOLDER`"
    if not at_hand(name.dataset):
        return (f"{name.dataset} is not at hand: `apdnn data` says where it is looked for, and "
                f"`apdnn reproduce table1 --only {name.dataset} --seeds {SEEDS}` trains it then")
    return f"not run: `apdnn reproduce table1 --only {name.dataset}/{name.network} --seeds {SEEDS}`"


def command(name, what):
    """A command of the command line for every seed of a run of full size."""
    return (f"apdnn {what} {name.dataset} {name.network} {name.transform} --size full --seeds "
            + " ".join(map(str, range(SEEDS))))


def seeds_of(seeds):
    """Seeds as people say them."""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def at_hand(dataset):
    """Whether the full set lies where it is looked for."""
    try:
        return any(place.exists() for place in data.places(dataset))
    except data.DataError:
        return False


def few_seeds(cells):
    """Lines that name each cell with fewer than three seeds, with their number and the reason.

    cells: {what it is called: (its number of seeds, the reason)}. Cells that have number and
    reason in common are named together.
    """
    found = {}
    for called, (seeds, why) in cells.items():
        if seeds < SEEDS:
            found.setdefault((seeds, why), []).append(called)
    return [line for (seeds, why), names in found.items() for line in (
        f"  {', '.join(names)}: {seeds or 'none'}", f"    {why}")]


# ---- the mended loss

def mended(name, archive):
    """The records of the lock with unlikelihood instead of the source's loss, in order.

    They lie where ``apdnn beyond`` writes them, in the folder of the archive; those that come with
    the package are found where its records are. Raises :class:`RecordError` for one in the wrong
    place.
    """
    folder = ASSETS / "beyond" if archive.folder == RECORDS else archive.folder
    found = []
    locks = Archive(folder / MENDED)
    for path in locks.files("json", str(name).rpartition("/")[0]):
        record = read_record(path)
        there = path == locks.path(name_of(record))
        if record["asked"].get("what") != MENDED or not there:
            raise RecordError(f"{path} is in the wrong place, or not of the lock {MENDED}.")
        found.append(record)
    if not found and archive.behind is not None:
        return mended(name, archive.behind)
    return found


def mean_of(records, what):
    """The mean test accuracy of several records, in percent."""
    return 100 * statistics.fmean(each["came_out"]["test"][what]["accuracy"] for each in records)


def above_source(rows):
    """Those of the rows that let more raw images pass than the source's, on average."""
    return [row for row in rows if row[2] and row[3] is not None
            and mean_of(row[2], "unauthorized") > row[3]]


def few_mended(rows, archive):
    """{what it is called: (seeds, why)} of the cells of :func:`beside` with a mended run or two."""
    found = {}
    for called, name, *_ in above_source(rows):
        line = f"`{command(name, 'beyond')} --what {MENDED} --train-only`"
        why = f"not run: {line}" if at_hand(name.dataset) else (
            f"{name.dataset} is not at hand: `apdnn data` says where it is looked for, and {line} "
            "trains it then")
        if 0 < (seeds := len(mended(name, archive))) < SEEDS:
            found[f"{called} with the mended loss"] = seeds, why
    return found


def beside(rows, archive):
    """Lines on each cell that lets more raw images pass than the source's, with the mended loss.

    rows: (what the cell is called, its :class:`Name`, its records, the source's figure).
    """
    lines = []
    for called, name, records, paper in above_source(rows):
        near = sum(each["came_out"]["test"]["unauthorized"]["accuracy"] > paper / 100
                   for each in records)
        line = f"  {called:36}{mean_of(records, 'unauthorized'):>7.2f}{paper:>9.2f}"
        line += f"{f'{near} of {len(records)}':>9}"
        runs = mended(name, archive)
        lines.append(line + (f"{mean_of(runs, 'unauthorized'):>12.2f}"
                             f"{mean_of(runs, 'authorized'):>12.2f}{len(runs):>7}" if runs else
                             "     no run with the mended loss is recorded"))
    if lines:
        lines = ["", "Cells that let more raw images pass than the source's, %: how many networks "
                 "do so, and the same recipe with", "the mended loss, unlikelihood, for E_r", "",
                 f"{'':38}{'ours':>7}{'source':>9}{'above':>9}{'mended':>12}{'authorized':>12}"
                 f"{'seeds':>7}", *lines]
    return lines
