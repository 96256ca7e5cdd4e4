"""What each command of the command line does; :mod:`~apdnn_lite.experiments.cli` reads its options.

Each takes the options and returns the exit status.
"""

import typing
from functools import partial
from pathlib import Path

from .. import data, export, figures
from .._machine import pick_device
from . import beyond, prior, variants
from .recipes import Recipe, checked_name, image_shape
from .records import SHIPPED, Archive, RecordError, name_of, own_folder
from .reproduce import listing, make_missing, missing_cells
from .runs import measures_as_recorded, run_to_the_end, sweep
from .tables import cells, owners, report
from .thief import result_of, run_attacks
from .weights import load_network

WORDS = {"true": True, "yes": True, "on": True, "1": True,
         "false": False, "no": False, "off": False, "0": False}


# ---- options

def names(options):
    """The runs that are asked for."""
    return [checked_name(options.dataset, options.network, options.transform, options.size, seed)
            for seed in options.seeds]


def both(options):
    """The folder that is named, alone; or the user's own records with the shipped ones behind."""
    return Archive(options.folder) if options.folder else Archive(own_folder(), SHIPPED)


def shown(options):
    """The records that are only to be read: the shipped ones, those of a folder, or both."""
    if options.with_shipped:
        return Archive(options.folder or own_folder(), SHIPPED)
    return Archive(options.folder) if options.folder else SHIPPED


def say_where(archive):
    """Where the user's own records lie, if they have some and were shown others."""
    if archive is SHIPPED and Archive(own_folder()).files("json"):
        print(f"\nYour own records are in {own_folder()}: show them with --folder and that folder, "
              "or both with --with-shipped.")


def value_of(setting, text):
    """A value of a setting as it is typed; raises ValueError for one that it cannot have."""
    hint = typing.get_type_hints(Recipe).get(setting, str)
    kinds = typing.get_args(hint) or (hint,)
    if type(None) in kinds and text.lower() == "none":
        return None
    if bool in kinds and text.lower() in WORDS:
        return WORDS[text.lower()]
    for kind in (int, float, str):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                break
    expected = " or ".join(kind.__name__ for kind in kinds)
    raise ValueError(f"{setting}: expected {expected}, got {text!r}")


# ---- commands

def run(options):
    """Train networks, measure each on the test set, and write their records."""
    archive = Archive(options.folder or own_folder())
    for name in names(options):
        if archive.holder(name):
            print(f"{name}: recorded already; remove its record to run it again")
            continue
        record = run_to_the_end(name, archive, options.device, keep_weights=options.keep_weights)
        if record is None:  # stopped with Ctrl-C
            return 130
        print(f"{summary(record)}, recorded in {archive.folder}", flush=True)
    return 0


def run_sweep(options):
    """Train a network for several values of one setting."""
    values = [value_of(options.vary, text) for text in options.values]
    for name in names(options):
        found = 0
        for record in sweep(name, options.vary, values, options.folder, options.device):
            found += 1
            value = record["asked"]["recipe"][options.vary]
            print(f"{name}, {options.vary} {value}: {on_validation(record)}", flush=True)
        if found < len(values):  # stopped with Ctrl-C
            return 130
    return 0


def attack(options):
    """Attack networks whose weights are stored, and record what came out."""
    for name in names(options):
        record = run_attacks(name, both(options), options.draws, options.tries, options.device)
        for attack, came_out in record["came_out"].items():
            result = result_of(came_out)
            print(f"{name}, {attack}: mean {result.mean:.1%}, best {result.best:.1%}, "
                  f"thief's pick {result.picked:.1%}")
    return 0


def reproduce(options):
    """Run what is not recorded yet of a table of the source."""
    wanted, archive = cells(options.table, options.only, options.seeds), both(options)
    if options.epochs is not None and not options.folder:
        raise ValueError("a run with other epochs than the recipe's is no cell of the table: name "
                         "a folder for it with --folder")
    if options.list:
        print(listing(options.table, wanted, archive))
        return 0
    make = make_missing
    if options.cluster is not None or options.workers is not None:
        from . import cluster  # needs an extra

        make = partial(cluster.make_missing, options.cluster, options.workers)
    for record in make(options.table, wanted, archive, options.device, options.epochs):
        if options.table == "table1":
            print(summary(record), flush=True)
    if missing_cells(options.table, wanted, archive):
        return 130  # stopped with Ctrl-C
    where = f"--folder {options.folder}" if options.folder else "--with-shipped"
    print(f"All {len(wanted)} are recorded. `python -m apdnn_lite report {where}` prints the "
          "tables.")
    return 0


def export_onnx(options):
    """Write stored networks, each with its transform, as ONNX files."""
    for name in names(options):
        net, transform, _ = load_network(name, both(options))
        path = options.to
        if len(options.seeds) > 1:
            path = path.with_stem(f"{path.stem}-seed{name.seed}")
        export.to_onnx(net, transform, path, image_shape(name.dataset))
        print(f"{name}: {path}, {path.stat().st_size:,} bytes")
    return 0


def show_tables(options):
    """Print both tables of the source, with ours beside them."""
    archive = shown(options)
    print(report(archive))
    say_where(archive)
    return 0


def picture(options):
    """Draw raw images of a set, and what recorded transforms make of them."""
    if options.classes is not None and options.classes < 1:
        raise ValueError(f"--classes: expected at least 1, got {options.classes}")
    test = data.load(options.dataset, "full").test
    transforms, missing = owners(options.dataset, options.network, both(options))
    labels = test.labels.unique()[:options.classes]
    chosen = [int((test.labels == label).nonzero()[0]) for label in labels]
    titles = [data.CLASSES[options.dataset][label] for label in test.labels[chosen]]
    file = options.to or Path(f"{options.dataset}.png")
    drawn = figures.processed(test.images[chosen], transforms, titles)
    drawn.savefig(file, dpi=150, bbox_inches="tight", pad_inches=0.1)
    print(f"{file}: raw images and those processed by {', '.join(transforms)}")
    if missing:
        print(f"Not drawn, because not trained yet: {', '.join(missing)}. `python -m apdnn_lite "
              f"reproduce table1 --only {options.dataset}/{options.network}` trains them.")
    return 0


def show_records(options):
    """List the records of a folder."""
    archive = shown(options)
    records = archive.all()
    for record in records:
        print(summary(record))
    if not records:
        print(f"no records in {archive.folder}")
    say_where(archive)
    return 0


def summary(record):
    """One line on a run: what it measured, whether its weights are stored, how long it took."""
    name, came_out = name_of(record), record["came_out"]
    measured = ", ".join(f"{what} {test['accuracy']:.2%}"
                         for what, test in came_out.get("test", {}).items())
    stored = ", weights stored" if "weights" in came_out else ""
    return f"{name}: {measured or on_validation(record)}{stored} ({record['how']['seconds']:.0f} s)"


def on_validation(record):
    """What a run measured on the validation split at its end, and the perturbation's size."""
    came_out = record["came_out"]
    last = came_out["validation"][-1]
    measured = ", ".join(f"{what} {last[what]:.2%}"
                         for what in ("authorized", "unauthorized", "accuracy") if what in last)
    psnr = came_out.get("perturbation", {}).get("psnr")  # null for no perturbation
    return f"validation {measured}" + (f", PSNR {psnr:.1f} dB" if psnr is not None else "")


def show_data(options):
    """Say where each full data set is looked for."""
    for name in data.CLASSES:
        print(name)
        for place in data.places(name):
            print(f"  {place}: {'there' if place.exists() else 'not there'}")
    print("fashion_mnist, size 'mini', comes with the package:", data.MINI_FILE)
    return 0


def check(options):
    """Measure every stored network again."""
    archive = Archive(options.folder) if options.folder else SHIPPED
    device, failed = pick_device(options.device), False
    if not (files := archive.files("safetensors")):
        raise RecordError(f"no stored networks in {archive.folder}")
    for file in files:
        if not file.with_suffix(".json").exists():
            print(f"{file}: not checked, because no record names it")
            continue
        try:
            name = name_of(archive.read_at(file.with_suffix(".json")))
            good = as_recorded(name, archive, device)
        except RecordError as error:
            print(error, " <- wrong")
            good = False
        failed |= not good
    failed |= not options.folder and not (prior.check() & beyond.check() & variants.check())
    return int(failed)


def as_recorded(name, archive, device):
    """Measure a stored network again, print it, and say whether its record says the same."""
    net, transform, record = load_network(name, archive)
    net.to(device)
    small = "mini_test" in record["came_out"]  # of a full set, what is at hand everywhere
    try:
        test = data.load(name.dataset, "mini" if small else name.size).test
    except data.DataError:
        print(f"{name}: not checked, the full set is not at hand (`python -m apdnn_lite data` says "
              "where it is looked for)")
        return True
    measured = record["came_out"].get("mini_test" if small else "test", {})
    return measures_as_recorded(name, net, transform, test, measured)
