"""The recorded runs of the part "What came before", and the table that its chapters share.

Each family has a module with ``SETTINGS`` and ``measure(seed, owner, innocents, data)``, which
returns what its record says and the marked network (or None).
"""

import statistics

from ... import data
from ...evaluate import count_correct
from ..provenance import environment
from ..records import Archive, RecordError, own_folder
from . import activations, frontier, locks, poison, weights
from .store import (
    FAMILIES,
    INNOCENT,
    OWNERS,
    PLAIN,
    PRIOR,
    check_family,
    innocents,
    prior_network,
    prior_records,
    read,
    seeds,
    share,
    train_plain,
    write,
)

__all__ = ["FAMILIES", "copies", "innocents", "prior_network", "prior_records", "run"]

MODULES = {"weights": weights, "activations": activations, "poison": poison,
           "frontier": frontier, "locks": locks}
TITLES = {"weights": "mark in the weights", "activations": "mark in the activations",
          "poison": "mark in the data", "frontier": "fingerprint at the frontier",
          "locks": "password or encryption"}


def run(family, seed=0, folder=None):
    """Make the record of one family and one owner's seed, and return it.

    folder: where it goes, by default the user's own. Raises :class:`RecordError`, before anything
        is trained, if it cannot be written there.
    """
    check_family(family)
    folder = writable(folder)
    found, sets = environment(), data.load("fashion_mnist")
    owner = prior_network("plain", seed) if seed in OWNERS else train_plain(seed, sets)
    came_out, net = MODULES[family].measure(seed, owner, innocents(), sets)
    return write(family, seed, MODULES[family].SETTINGS, came_out, net, folder, found)


def command(options):
    """``apdnn prior``: make the records that are missing; returns the exit status."""
    folder = writable(options.folder)
    for seed in options.seeds:
        if options.family == "plain":
            make_plain(folder)
        elif seed not in seeds(options.family, folder):
            run(options.family, seed, folder)
        print(f"{options.family}, seed {seed}: recorded in {folder}")
    return 0


def writable(folder=None):
    """A folder for records, by default the user's own, if records can be written there."""
    archive = Archive(own_folder("prior") if folder is None else folder)
    archive.check_writable()
    return archive.folder


def make_plain(folder=None):
    """Train the networks without any mark: three owners' and ten innocent ones."""
    sets, folder = data.load("fashion_mnist"), writable(folder)
    for seed in [*OWNERS, *INNOCENT]:
        if seed in seeds("plain", folder):
            continue
        found = environment()
        net = train_plain(seed, sets)
        write("plain", seed, PLAIN, {"test": share(net, sets.test)}, net, folder, found)


def copies(upto="locks"):
    """What the thief's unchanged copy scores under each family: the table that grows.

    upto: the family of the chapter; it and those before it in :data:`FAMILIES` get a row. Returns
    one dict a row, of "method", "owner" and "copy" (mean accuracies over the recorded seeds, in
    percent) and "seeds".
    """
    check_family(upto)
    rows = []
    for family in FAMILIES[:FAMILIES.index(upto) + 1]:
        found = [record["came_out"] for record in prior_records(family)]
        rows.append({
            "method": TITLES[family],
            "owner": 100 * statistics.fmean(each["after"]["accuracy"] for each in found),
            "copy": 100 * statistics.fmean(each["copy"]["accuracy"] for each in found),
            "seeds": len(found)})
    return rows


def check():
    """Measure every stored network of this part again; returns whether all are as recorded."""
    test, good = data.load("fashion_mnist").test, True
    for family in ("plain", *FAMILIES):
        for seed in seeds(family):
            try:
                record = read(family, seed)["came_out"]
                if "weights" not in record:
                    continue
                found = count_correct(prior_network(family, seed), test)
            except RecordError as error:
                print(error, " <- wrong")
                good = False
                continue
            expected = record["test" if family == "plain" else "after"]["correct"]
            same = abs(found - expected) <= 2  # rounding differs between processors
            good &= same
            print(f"{PRIOR.name}/{family}/seed{seed}: {found} of {len(test)} correct, recorded "
                  f"{expected}{'' if same else '  <- differs'}")
    return good
