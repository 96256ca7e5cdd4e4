"""Mended locks: the runs of the other records with another loss, other negatives, or both."""

import time
from dataclasses import replace

import torch

from ... import data
from ..._machine import pick_device, pick_precision
from ...beyond.mended import MendedLoss, fit_mended
from ..provenance import device_name, environment
from ..recipes import fit_settings, image_shape, recipe_of, recorded_settings
from ..records import RecordError
from ..runs import measure, measures_as_recorded
from ..weights import build, make_transform
from .store import BEYOND, Place, read, seeds, tensors, write
from .thieves import SETTINGS, every_thief, record_renewed

MIXED = ("raw", "wrong keys", "shifts", "parts")
# name: (target, negatives). The first is the source's own, trained the same way as the others.
LOCKS = {
    "source": ("probability", ("raw",)),
    "unlikelihood": ("unlikelihood", ("raw",)),
    "uniform": ("uniform", ("raw",)),
    "permuted": ("permuted", ("raw",)),
    "source-keys": ("probability", ("raw", "wrong keys")),
    "unlikelihood-keys": ("unlikelihood", ("raw", "wrong keys")),
    "uniform-mixed": ("uniform", MIXED),
    "unlikelihood-mixed": ("unlikelihood", MIXED),
    "unlikelihood-climbing": ("unlikelihood", (*MIXED, "climbing")),
    "uniform-climbing": ("uniform", (*MIXED, "climbing")),
}
COUNTS = (1, 10, 100)  # labels a class
BETA = 1.0  # of each negative; the recipe's 2 where there is one negative and the source's target


def run_lock(place, folder, device="auto", thieves=True):
    """Train a mended lock, try every thief on it, and record what came out.

    The recipe is that of the run with the source's loss, but for the loss and the precision, which
    is the fastest of the device. The network of the last epoch is stored, and measured as stored,
    in float16. A simple CNN is stored only if no thief was tried, for those who come later.

    thieves: False to measure it with and without the key alone, in a small part of the time.
    """
    target, negatives = LOCKS[place.what]
    found, began, device = environment(), time.perf_counter(), pick_device(device)
    fastest = str(pick_precision("auto", device)).removeprefix("torch.")
    recipe, name = replace(recipe_of(place.name), precision=fastest), place.name
    sets, shape = data.load(place.dataset, place.size), image_shape(place.dataset)
    torch.manual_seed(place.seed)
    net = build(place.network, shape[0], len(sets.classes), shape[1]).to(device)
    transform = make_transform(place.transform, shape, recipe, place.seed)
    beta = recipe.beta if place.what == "source" else BETA
    loss = MendedLoss(target, recipe.alpha, beta, recipe.gamma)
    history = fit_mended(net, sets.train, sets.validation, transform, loss, negatives, device,
                         progress=False, **fit_settings(recipe, place.seed))
    if history.interrupted:
        return None
    net = net.half().float()
    sets, transform = sets.to(device), transform.to(device)
    came_out = {"validation": history.epochs, "test": measure(net, transform, sets.test),
                "training_seconds": round(history.training_seconds, 1)}
    if thieves:
        came_out["thieves"] = every_thief(net, transform, sets, place.seed, COUNTS)
    if (place.dataset, place.size) == ("fashion_mnist", "full"):  # everybody has the small one
        came_out["mini_test"] = measure(net, transform, data.load(name.dataset).test)
    settings = {"lock": place.what, "target": target, "negatives": list(negatives), "beta": beta,
                "recipe": recorded_settings(recipe), "transform": transform.settings(),
                "thieves": SETTINGS | {"labels": COUNTS} if thieves else None}
    how = found | {"device": device_name(device), "seconds": round(time.perf_counter() - began, 1)}
    kept = place.network == "resnet20" or not thieves
    stored = (net, transform) if kept else (None, None)
    return write(place, settings, came_out, folder, how, *stored)


def run_renormalized(lock, place, folder, device="auto", source=None, strong=True):
    """Record what thieves reach on a stored lock who first estimate batch norm's statistics anew.

    lock: its name. source: the folder of its record and weights, by default what comes with the
    package. strong: whether stronger climbs are tried, too. The record is written below
    ``folder / lock``, because ``folder`` itself holds those of networks with the source's loss.
    """
    place_of_lock = place._replace(what=lock)
    net, transform = network_at(place_of_lock, source)
    network = {"lock": lock, "network_record_sha256": read(place_of_lock, source)["sha256"]}
    return record_renewed(place, folder / lock, device, net, transform, network, strong)


def locks(network="resnet20", size="mini", transform="fixed", folder=None):
    """{lock: its records in the order of seeds} of those that are recorded, in LOCKS' order."""
    found = {}
    for lock in LOCKS:
        try:
            found[lock] = seeds(lock, transform, network, size, folder=folder)
        except RecordError:
            continue
    return found


def mended_network(lock, transform="fixed", size="mini", seed=0, folder=None):
    """A stored ResNet-20 with a mended lock, and its transform, both in evaluation mode."""
    place = Place(lock, "fashion_mnist", size, "resnet20", transform, seed)
    return network_at(place, folder)


def network_at(place, folder=None):
    """The network and the transform of a place, as stored."""
    weights, state = tensors(place, folder)
    settings, shape = read(place, folder)["asked"]["settings"], image_shape(place.dataset)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        net = build(place.network, shape[0], len(data.CLASSES[place.dataset]), shape[1])
        owner = make_transform(place.transform, shape,
                               replace(recipe_of(place.name), **settings["recipe"]), place.seed)
    try:
        net.load_state_dict(weights)
        owner.load_state_dict(state)
    except (ValueError, RuntimeError) as error:
        raise RecordError(f"the weights of {place} do not fit its record: {error}") from error
    return net.eval(), owner.eval()


def as_recorded(place, folder=None):
    """Measure a stored lock again on the small test set, print it, and compare."""
    net, transform = network_at(place, folder)
    came_out = read(place, folder)["came_out"]
    folder = BEYOND if folder is None else folder
    return measures_as_recorded(f"{folder.name}/{place}", net, transform,
                                data.load(place.dataset).test,
                                came_out.get("mini_test", came_out["test"]))
