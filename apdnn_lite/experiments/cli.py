"""What can be run from the command line: ``apdnn --help``, or ``python -m apdnn_lite --help``."""

import argparse
import contextlib
import os
import sys
from pathlib import Path

import torch

from .. import __version__
from .._files import at_home
from ..data import CLASSES
from ..training import TrainingError
from . import beyond, checkup, commands, prior, variants
from .recipes import NETWORKS, SIZES, TRANSFORMS

# What a command may end with that is no fault of the program: one line, exit status 1.
EXPECTED = (ValueError, OSError, ImportError, TrainingError, torch.OutOfMemoryError)
STOPPED = "\nStopped. What was finished is kept; the same command goes on from there."


def main(arguments=None):
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console of one code page has no σ
            stream.reconfigure(errors="replace")
    try:
        try:
            options = parser().parse_args(arguments)
            return options.function(options)
        finally:
            sys.stdout.flush()  # now, where a closed pipe or a full disk can be told
    except BrokenPipeError:  # whoever read the output has enough, as `head` does
        let_go(sys.stdout)
    except EXPECTED as error:
        print(f"error: {message_of(error)}", file=sys.stderr)
        let_go(sys.stdout)
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return 130
    return 1


def message_of(error):
    """An error in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def let_go(stream):
    """Forget what cannot be written any more: Python would complain of it at its end."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def existing(text):
    """The folder of a command that only reads it: a mistyped one would look like an empty one."""
    if not at_home(text).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder '{text}'")
    return at_home(text)


def parser():
    """The parser of all commands; ``function`` of what it returns runs the command."""
    called = "apdnn" if Path(sys.argv[0]).stem == "apdnn" else "python -m apdnn_lite"
    top = argparse.ArgumentParser(prog=called, description="Train, attack and check the networks "
                                  "of the book 'Protecting Deep Neural Networks from Piracy'.")
    top.add_argument("--version", action="version", version=f"apdnn_lite {__version__}")
    known = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    named = argparse.ArgumentParser(add_help=False)
    for what, values in (("dataset", CLASSES), ("network", NETWORKS), ("transform", TRANSFORMS)):
        named.add_argument(what, choices=values, metavar=what.upper(), help=", ".join(values))
    named.add_argument("--size", choices=SIZES, default="mini",
                       help="of the data set (default: mini)")
    named.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED",
                       help="one run for each (default: 0)")
    device = argparse.ArgumentParser(add_help=False)
    device.add_argument("--device", default="auto", help="auto, cpu, cuda, … (default: auto)")

    def folder(text, kind=at_home):
        where = argparse.ArgumentParser(add_help=False)
        where.add_argument("--folder", type=kind, help=text)
        return where

    own = folder("of the records (default: your own, in your data folder)")
    both = folder("of records and weights (default: your own, and where that has none, those that "
                  "come with the package)")
    shipped = folder("of records and weights (default: those that come with the package)", existing)
    shown = argparse.ArgumentParser(add_help=False, parents=[shipped])
    shown.add_argument("--with-shipped", action="store_true", help="your own, or those of "
                       "--folder, together with those that come with the package")

    def command(name, function, text, *parents):
        sub = known.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".",
                               parents=parents)
        sub.set_defaults(function=function)
        return sub

    command("list", commands.show_records, "list the recorded runs and what they measured", shown)
    command("data", commands.show_data,
            "show where each full data set is looked for and whether it is there")
    train = command("run", commands.run, "train a network, measure two of its epochs on the test "
                    "set (the last one, and the one that was best on the validation split) and "
                    "write the record; a run that is recorded already is skipped, one that was "
                    "stopped goes on after its last epoch", named, own, device)
    train.add_argument("--keep-weights", action="store_true",
                       help="store the trained network beside its record")
    vary = command("sweep", commands.run_sweep, "train a network for several values of one "
                   "setting, measured on the validation split alone; values that are recorded "
                   "already are skipped", named, own, device)
    vary.add_argument("--vary", required=True, metavar="SETTING",
                      help="what to vary, such as gamma, sigma or width")
    vary.add_argument("--values", required=True, nargs="+", metavar="VALUE",
                      help="the values to try, such as 0.01 0.1")
    attack = command("attack", commands.attack, "attack networks whose weights are stored, and "
                     "record what came out; if an attack is recorded already, only what its "
                     "record lacks is run", named, both, device)
    attack.add_argument("--draws", type=int, default=100,
                        help="keys that the input-only attack guesses (default: 100)")
    attack.add_argument("--tries", type=int, default=10,
                        help="generators that the pair attack trains (default: 10)")
    again = command("reproduce", commands.reproduce, "run what is not recorded yet of the source's "
                    "tables at full size; a stopped run goes on after its last finished epoch or "
                    "attack", both, device)
    again.add_argument("table", choices=("table1", "table2"),
                       help="table1: trained networks; table2: attacks on them")
    again.add_argument("--only", metavar="PART",
                       help="such as fashion_mnist/resnet20, or fashion_mnist/resnet20/generator")
    again.add_argument("--seeds", type=int, default=1, metavar="N",
                       help="seeds 0 to N - 1 (default: 1)")
    again.add_argument("--epochs", type=int,
                       help="instead of the recipe's; needs a --folder of its own")
    helped = again.add_mutually_exclusive_group()
    helped.add_argument("--cluster", metavar="ADDRESS", help="hand the cells to the workers of a "
                        "Dask scheduler, such as tcp://10.0.0.5:8786, one to each at a time")
    helped.add_argument("--workers", type=int, metavar="N",
                        help="the same with N processes of this machine, which share its cores")
    again.add_argument("--list", action="store_true",
                       help="only list the cells, what is recorded and how long each takes")
    to_file = command("export", commands.export_onnx, "write a stored network and its transform "
                      "to one ONNX file, for the playground of the book", named, both)
    to_file.add_argument("--to", type=at_home, required=True, metavar="FILE.onnx",
                         help="the file to write; with several seeds, FILE-seed0.onnx and so on")
    command("report", commands.show_tables, "print the source's tables with ours beside them, and "
            "what is missing", shown)
    drawn = command("picture", commands.picture, "draw raw images of a full set, one of each "
                    "class, and what recorded transforms make of them, as the source does for "
                    "CIFAR-10", both)
    drawn.add_argument("dataset", choices=CLASSES, metavar="DATASET", help=", ".join(CLASSES))
    drawn.add_argument("--network", choices=NETWORKS, default="resnet20", metavar="NETWORK",
                       help="whose transforms (default: resnet20)")
    drawn.add_argument("--classes", type=int, metavar="N",
                       help="only the first N classes (default: all)")
    drawn.add_argument("--to", type=at_home, metavar="FILE",
                       help="a .png, .pdf or .svg file (default: DATASET.png)")
    earlier = command("prior", prior.command, "make the records of an earlier method that are "
                      "missing, as the part 'What came before' reads them", own)
    earlier.add_argument("family", choices=(*prior.FAMILIES, "plain"), metavar="FAMILY",
                         help=f"{', '.join(prior.FAMILIES)}, or plain: networks without a mark")
    earlier.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED",
                         help="of the owners, 0 to 2 (default: 0)")
    later = command("beyond", beyond.command, "try every thief of the part 'Beyond' on a stored "
                    "network, or train a mended lock and try them on that; what is recorded "
                    "already is skipped", named, own, device)
    later.add_argument("--what", choices=(*beyond.THIEVES, *beyond.LOCKS), default="thieves",
                       metavar="WHAT", help="thieves (the default), renormalized (thieves who "
                       "first estimate batch normalization anew, if any), or the name of a lock: "
                       f"{', '.join(beyond.LOCKS)}")
    later.add_argument("--train-only", action="store_true",
                       help="of a lock: measure it with and without the key, and try no thief")
    later.add_argument("--lock", choices=beyond.LOCKS, metavar="LOCK", help="of --what "
                       "renormalized: try them on this mended lock, whose network is stored")
    later.add_argument("--usual-climb", action="store_true",
                       help="of --lock: leave out the climbs after the usual one, which take most "
                       "of the time")
    later.add_argument("--weights", type=existing, metavar="FOLDER", help="of thieves: where the "
                       "record and weights of the network or the --lock lie, such as your own "
                       "(default: those that come with the package)")
    command("variants", variants.command, "make the record of the pair attacks with one thing "
            "changed each, if it is missing, as the chapter on the pair attack reads it", own)
    since = command("later", beyond.later.command, "make the records of a lock that came later "
                    "that are missing, as the last chapter reads them", own)
    since.add_argument("lock", choices=beyond.later.LOCKS, metavar="LOCK",
                       help=", ".join(beyond.later.LOCKS))
    since.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED",
                       help="of the owners, 0 to 2 (default: 0)")
    command("check", commands.check, "measure every stored network again and compare with its "
            "record", shipped, device)
    command("check-env", checkup.command, "say in plain words whether this machine has what the "
            "chapters need, and what to do where it has not")
    return top
