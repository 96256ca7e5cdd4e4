"""Make the source's tables again: what is missing, how long it takes, and running it."""

import time
from dataclasses import replace
from itertools import product

from .. import _files, data
from .recipes import image_shape, recipe_of, training_images
from .records import archive_of, name_of
from .runs import run_to_the_end
from .tables import TRANSFORMS
from .thief import THIEF_IMAGES, run_attacks

STORED = "resnet20"  # of these networks the weights are stored: attacks and pictures need them
# For estimates: the images that each candidate of an attack is run on.
MINI_TO_FULL_ATTACK = (10_000 + THIEF_IMAGES) / (2_000 + THIEF_IMAGES)


def seconds_for(name, table, archive=None):
    """About how long a cell takes, from a record like it; None where there is none.

    Like it is the same cell, another transform of its network, the mini set, and last another data
    set: each in proportion to what is computed. The time is that of the record's machine.
    """
    archive, attacks = archive_of(archive), table == "table2"
    for dataset, size in dict.fromkeys(product((name.dataset, *data.CLASSES), ("full", "mini"))):
        for transform in dict.fromkeys((name.transform, *TRANSFORMS, "baseline")):
            like = name._replace(dataset=dataset, size=size, transform=transform)
            for record in archive.seeds(like, attacks):
                seconds = record["how"]["seconds"]
                if attacks:
                    return seconds * (MINI_TO_FULL_ATTACK if size == "mini" else 1)
                epochs = record["asked"]["recipe"]["epochs"]
                return seconds * work(name, recipe_of(name).epochs) / work(name_of(record), epochs)
    return None


def work(name, epochs):
    """What training a run computes, in pixels that go through its network.

    Without a transform it sees each image once, with one twice.
    """
    _, height, width = image_shape(name.dataset)
    pixels = training_images(name.dataset, name.size) * height * width
    return epochs * pixels * (1 if name.transform == "baseline" else 2)


def clock(seconds):
    """Seconds as people say them; "?" for None."""
    if seconds is None:
        return "?"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def missing_cells(table, names, archive=None):
    """Those of the names that are not recorded."""
    archive = archive_of(archive)
    return [name for name in names if archive.holder(name, table == "table2") is None]


def listing(table, names, archive=None):
    """One line for each cell: recorded or missing, and how long it takes."""
    missing = set(missing_cells(table, names, archive))
    return "\n".join(f"{name!s:50} {'missing' if name in missing else 'recorded':9} "
                     f"{clock(seconds_for(name, table, archive))}" for name in names)


def make_missing(table, names, archive, device="auto", epochs=None, draws=100, tries=10,
                 progress=print):
    """Run the cells that are not recorded, in their order; yields each record as it comes.

    A cell that was stopped goes on after its last finished epoch or attack. Stops after a Ctrl-C.
    archive: an :class:`Archive` or the path of its folder. What is recorded behind it is not run.
    epochs: instead of the recipe's. Such runs are no cells of the table.
    progress: is told before each cell what comes and how long the rest will take.
    """
    archive = archive_of(archive)
    missing = missing_cells(table, names, archive)
    pace = 1.0  # of this machine, against the one of the records that estimates come from
    for place, name in enumerate(missing):
        expected = [seconds_for(each, table, archive) for each in missing[place:]]
        left = None if None in expected else pace * sum(expected)
        progress(f"{place + 1} of {len(missing)}: {name}; time left for all: {clock(left)}")
        began = time.perf_counter()
        record = make_cell(table, name, archive, device, recipe_for(name, epochs), draws, tries)
        if record is None:
            return
        if expected[0]:
            pace = (time.perf_counter() - began) / expected[0]
        yield record


def make_cell(table, name, archive, device, recipe, draws, tries, **options):
    """Run one cell; returns its record, or None if training was stopped with Ctrl-C.

    options: of training, those of ``run_to_the_end``.
    """
    if table == "table2":
        return run_attacks(name, archive, draws, tries, device)
    return run_to_the_end(name, archive, device, recipe, keep_weights=name.network == STORED,
                          **options)


def recipe_for(name, epochs=None):
    """The recipe of a cell, with another number of epochs if one is given."""
    recipe = recipe_of(name)
    return recipe if epochs is None else replace(recipe, epochs=epochs)


# ---- a cell on another machine

def files_of(name, archive):
    """What another machine needs for a cell of Table 2: the network and the attacks so far.

    Returns {name of a file: its bytes}; raises :class:`RecordError` if there is no such network.
    """
    archive.read(name)
    stored, attacks = archive.holder(name), archive.path(name, attacks=True)
    paths = stored.path(name), stored.weights(name), attacks.with_suffix(".unfinished")
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def keep(table, name, archive, record, weights):
    """Write a cell that was made on another machine, as a run here would; returns the record.

    weights: the bytes of its weight file, None without one.
    """
    attacks = table == "table2"
    if weights is not None:
        _files.write_whole(archive.weights(name), weights)
    archive.write(name, record["asked"], record["came_out"], record["how"], attacks)
    if attacks:
        archive.path(name, attacks).with_suffix(".unfinished").unlink(missing_ok=True)
    return record
