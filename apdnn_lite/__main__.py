"""What can be run from the command line: ``python -m apdnn_lite --help``."""

import argparse
import sys
from pathlib import Path

from . import data, experiments, export, figures, tables
from .evaluate import count_correct
from ._machine import pick_device
from .training import TrainingError


def main(arguments=None):
    """Run one command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        return options.function(options)
    except (data.DataError, experiments.RecordError, TrainingError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        return 130


def parser():
    top = argparse.ArgumentParser(prog="python -m apdnn_lite", description="Train, attack and check the networks of "
                                  "the book 'Protecting Deep Neural Networks from Piracy'.")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("dataset", choices=data.CLASSES, metavar="DATASET", help=", ".join(data.CLASSES))
    named.add_argument("network", choices=experiments.RECIPES, metavar="NETWORK", help=", ".join(experiments.RECIPES))
    named.add_argument("transform", choices=experiments.TRANSFORMS, metavar="TRANSFORM",
                       help=", ".join(experiments.TRANSFORMS))
    named.add_argument("--size", choices=("mini", "full"), default="mini", help="of the data set (default: mini)")
    named.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED", help="one run for each (default: 0)")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--folder", type=Path, default=experiments.RECORDS,
                       help="where records and weights lie (default: those that come with the package)")
    device = argparse.ArgumentParser(add_help=False)
    device.add_argument("--device", default="auto", help="auto, cpu, cuda, … (default: auto)")

    def command(name, function, text, *parents):
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", parents=parents)
        sub.set_defaults(function=function)
        return sub

    command("list", show_records, "list the recorded runs and what they measured", where)
    command("data", show_data, "show where each full data set is looked for and whether it is there")
    train = command("run", run, "train a network, measure it once on the test set and write the record; a run that is "
                    "recorded already is skipped, one that was stopped goes on after its last epoch", named, where, device)
    train.add_argument("--keep-weights", action="store_true", help="store the trained network beside its record")
    vary = command("sweep", sweep, "train a network for several values of one setting, measured on the validation split "
                   "alone; values that are recorded already are skipped", named, device)
    vary.add_argument("--vary", required=True, metavar="SETTING", help="what to vary, such as gamma, sigma or width")
    vary.add_argument("--values", required=True, nargs="+", metavar="VALUE")
    vary.add_argument("--folder", type=Path, default=experiments.SWEEPS, help="where the records lie")
    attack = command("attack", run_attacks, "attack networks whose weights are stored, and record what came out; of "
                     "a recorded attack only what its record lacks is run",
                     named, where, device)
    attack.add_argument("--draws", type=int, default=100, help="keys that the input-only attack guesses (default: 100)")
    attack.add_argument("--tries", type=int, default=10, help="generators that the pair attack trains (default: 10)")
    again = command("reproduce", reproduce, "run what is not recorded yet of the source's tables at full size; a stopped "
                    "run goes on after its last finished epoch or attack", where, device)
    again.add_argument("table", choices=("table1", "table2"), help="table1: trained networks; table2: attacks on them")
    again.add_argument("--only", metavar="PART", help="such as fashion_mnist/resnet20, or fashion_mnist/resnet20/generator")
    again.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 0 to N - 1 (default: 1)")
    again.add_argument("--epochs", type=int, help="instead of the recipe's; needs a --folder of its own")
    again.add_argument("--list", action="store_true", help="only list the cells, what is recorded and how long each takes")
    to_file = command("export", export_onnx, "write a stored network and its transform to one ONNX file, for the playground "
                      "of the book", named, where)
    to_file.add_argument("--to", type=Path, required=True, metavar="FILE.onnx",
                         help="the file to write; with several seeds, FILE-seed0.onnx and so on")
    command("report", report, "print the source's tables with ours beside them, and what is missing", where)
    drawn = command("picture", picture, "draw raw images of a full set, one of each class, and what recorded transforms "
                    "make of them, as the source does for CIFAR-10", where)
    drawn.add_argument("dataset", choices=data.CLASSES, metavar="DATASET", help=", ".join(data.CLASSES))
    drawn.add_argument("--network", choices=experiments.RECIPES, default="resnet20", metavar="NETWORK",
                       help="whose transforms (default: resnet20)")
    drawn.add_argument("--classes", type=int, metavar="N", help="only the first N classes (default: all)")
    drawn.add_argument("--to", type=Path, metavar="FILE", help="a .png, .pdf or .svg file (default: DATASET.png)")
    command("check", check, "measure every stored network again and compare with its record", where, device)
    return top


def names(options):
    return [experiments.checked_name(options.dataset, options.network, options.transform, options.size, seed)
            for seed in options.seeds]


def run(options):
    for name in names(options):
        if experiments.record_path(name, options.folder).exists():
            print(f"{name}: recorded already; remove its record to run it again")
            continue
        checkpoint = experiments.checkpoint_path(name, experiments.recipe_of(name))
        record = experiments.run(name, options.folder, options.device, checkpoint, keep_weights=options.keep_weights)
        if record is None:  # stopped with Ctrl-C
            return 130
        checkpoint.unlink()
        print(summary(record))
    return 0


def sweep(options):
    default = getattr(experiments.Recipe(), options.vary, "")
    kind = float if default is None else type(default)
    values = [value == "True" if kind is bool else kind(value) for value in options.values]
    for name in names(options):
        for record in experiments.sweep(name, options.vary, values, options.folder, options.device):
            last = record["came_out"]["validation"][-1]
            print(f"{name}, {options.vary} {record['asked']['recipe'][options.vary]}: validation "
                  + ", ".join(f"{what} {last[what]:.2%}" for what in ("authorized", "unauthorized", "accuracy")
                              if what in last)
                  + (f", PSNR {record['came_out']['perturbation']['psnr']:.1f} dB"
                     if "perturbation" in record["came_out"] else ""))
    return 0


def run_attacks(options):
    for name in names(options):
        record = experiments.run_attacks(name, options.folder, options.draws, options.tries,
                                         options.device)
        for attack, came_out in record["came_out"].items():
            print(f"{name}, {attack}: mean {tables.mean(came_out):.1%}, best {tables.best(came_out):.1%}, "
                  f"thief's pick {tables.picked(came_out):.1%}")
    return 0


def reproduce(options):
    names = tables.cells(options.table, options.only, options.seeds)
    if options.list:
        print(tables.listing(options.table, names, options.folder))
        return 0
    folder = None if options.folder == experiments.RECORDS else options.folder
    for record in tables.reproduce(options.table, names, folder, options.device, options.epochs):
        if options.table == "table1":
            print(summary(record), flush=True)
    if any(not tables.path_of(name, options.table, folder).exists() for name in names):
        return 130  # stopped with Ctrl-C
    print(f"All {len(names)} are recorded. `python -m apdnn_lite report` prints the tables.")
    return 0


def export_onnx(options):
    for name in names(options):
        net, transform, _ = experiments.pretrained(name.dataset, name.network, name.transform, name.size, name.seed,
                                                   options.folder)
        several = len(options.seeds) > 1
        path = options.to.with_stem(f"{options.to.stem}-seed{name.seed}") if several else options.to
        export.to_onnx(net, transform, path, experiments.image_shape(name.dataset))
        print(f"{name}: {path}, {path.stat().st_size:,} bytes")
    return 0


def report(options):
    print(tables.report(options.folder))
    return 0


def picture(options):
    test = data.load(options.dataset, "full").test
    transforms, missing = tables.owners(options.dataset, options.network, options.folder)
    if options.classes is not None and options.classes < 1:
        raise ValueError(f"--classes: expected at least 1, got {options.classes}")
    chosen = [int((test.labels == label).nonzero()[0]) for label in test.labels.unique()[:options.classes]]
    titles = [data.CLASSES[options.dataset][label] for label in test.labels[chosen]]
    file = options.to or Path(f"{options.dataset}.png")
    figures.processed(test.images[chosen], transforms, titles).savefig(file, dpi=150, bbox_inches="tight", pad_inches=0.1)
    print(f"{file}: raw images and those processed by {', '.join(transforms)}")
    if missing:
        print(f"Not drawn, because not trained yet: {', '.join(missing)}. `python -m apdnn_lite reproduce table1 --only "
              f"{options.dataset}/{options.network}` trains them.")
    return 0


def show_records(options):
    records = experiments.all_records(options.folder)
    for record in records:
        print(summary(record))
    if not records:
        print(f"no records in {options.folder}")
    return 0


def summary(record):
    name, came_out = experiments.name_of(record), record["came_out"]
    figures = ", ".join(f"{what} {test['accuracy']:.2%}" for what, test in came_out["test"].items())
    return f"{name}: {figures}{', weights stored' if 'weights' in came_out else ''} ({record['how']['seconds']:.0f} s)"


def show_data(options):
    for name in data.CLASSES:
        print(name)
        for place in data.places(name):
            print(f"  {place}: {'there' if place.exists() else 'not there'}")
    print("fashion_mnist, size 'mini', comes with the package:", data.MINI_FILE)
    return 0


def check(options):
    paths = sorted(options.folder.rglob("seed*.safetensors"))
    if not paths:
        raise experiments.RecordError(f"no stored networks in {options.folder}")
    failed = False
    for path in paths:
        name = experiments.name_of(experiments.read_record(path.with_suffix(".json")))
        net, transform, record = experiments.pretrained(name.dataset, name.network, name.transform, name.size,
                                                        name.seed, options.folder)
        net.to(pick_device(options.device))
        small = "mini_test" in record["came_out"]  # of a full set, what is at hand everywhere
        try:
            test = data.load(name.dataset, "mini" if small else name.size).test
        except data.DataError:
            print(f"{name}: not checked, the full set is not at hand (`python -m apdnn_lite data` says where it is looked for)")
            continue
        for what, recorded in record["came_out"]["mini_test" if small else "test"].items():
            found = count_correct(net, test, None if what == "unauthorized" else transform)
            good = abs(found - recorded["correct"]) <= 2  # rounding differs between processors
            failed |= not good
            print(f"{name}, {what}: {found} of {recorded['images']} correct, recorded {recorded['correct']}"
                  f"{'' if good else '  <- differs'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
