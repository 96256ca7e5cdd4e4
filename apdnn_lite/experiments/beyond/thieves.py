"""Every thief of the book on one network: without labels, and with a few labels a class."""

import time
from dataclasses import asdict

import torch
from torch import nn

from ... import attacks, data
from ..._machine import pick_device
from ...beyond import labels as few
from ...beyond import thieves
from ...evaluate import access, accuracy, perturbation_size
from ...training import fit
from ...transforms import Fixed
from ..provenance import device_name, environment
from ..records import RecordError
from ..weights import build, pretrained
from .store import path, read, write

LABELS = (1, 3, 5, 10, 100)  # a class
KINDS = ("thieves", "renormalized")  # of records about a network of the other records
IMAGES = 2000  # unlabeled raw images of the validation split, as for the other attacks
DRAWS = 20  # guessed keys
# A thief who climbs without a temperature, and one who tries all of them (our choices).
CLIMB = {"steps": 20, "lr": 0.01, "batch_size": 200, "sigma": 0.03, "tries": 10}
STRONG = {"steps": 120, "lr": 0.03, "batch_size": 100, "sigma": 0.1, "tries": 3}
# Where the strong climb leaves a lock shut, a thief with more patience has a try.
PATIENT = {"steps": 400, "lr": 0.03, "batch_size": 100, "sigma": 0.2, "tries": 10}
SHUT = 0.5  # the best try of the strong climb is below this
KEY = {"steps": 150, "lr": 0.03, "batch_size": 100, "sigma": 0.03}
TUNE = {"steps": 150, "lr": 3e-4, "batch_size": 32}
SCRATCH = {"steps": 600, "lr": 1e-3, "batch_size": 32}
# The whole theft: how many raw images the opened network labels, and how the student learns them.
LOOT, STUDENT = 6000, {"epochs": 8, "lr": 2e-3}
SETTINGS = {"labels": LABELS, "images": IMAGES, "draws": DRAWS, "climb": CLIMB, "strong": STRONG,
            "temperatures": thieves.TEMPERATURES, "patient": PATIENT, "universal_key": KEY,
            "fine_tune": TUNE, "from_scratch": SCRATCH, "loot": LOOT, "student": STUDENT}
# Of thieves who estimate batch normalization anew first.
FRESH = {"labels": (1, 10), "images": IMAGES, "climb": CLIMB, "universal_key": KEY,
         "fine_tune": TUNE}
# Where both climbs after that leave a lock shut, a longer one; then one on leveled logits.
LONG = CLIMB | {"steps": 100, "batch_size": 100}
LEVEL = {"steps": 150, "lr": 0.02, "batch_size": 100, "sigma": 0.1, "tries": 6}
STRONGER = {"strong": STRONG, "long": LONG, "level": LEVEL}


def run_thieves(place, folder, device="auto", source=None):
    """Try every thief on a stored network of the other records, and record what came out.

    source: the folder of its record and weights, by default what comes with the package.

    A baseline has no lock: its record holds the controls, the same thieves on the plain network, on
    an untrained one, and training from scratch with the same labels.
    """
    net, transform, trained = pretrained(place.dataset, place.network, place.transform, place.size,
                                         place.seed, source)
    network = {"network_record_sha256": trained["sha256"]}
    if place.what == "renormalized":
        return record_renewed(place, folder, device, net, transform, network)

    def attack(net, sets):
        if transform is None:
            return controls(net, sets, place)
        climbs = climbed(net, sets, place.seed, transform.clip)
        owner = transform.to(sets.test.images.device)
        return every_thief(net, owner, sets, place.seed, climbs=climbs) | {
            "theft": theft(net, sets, place.seed, climbs)}

    return record_attack(place, folder, device, net, attack, SETTINGS | network)


def record_renewed(place, folder, device, net, transform, network, strong=False):
    """Record what the :func:`renormalized` thieves reach on a network.

    network: what the record's settings say of it. strong: whether to try stronger climbs, too.
    """
    if transform is None:
        raise ValueError(f"{place.name} is a baseline and has no lock: expected a network that was "
                         "trained with a transform")

    def attack(net, sets):
        return renormalized(net, sets, place.seed, transform.clip, strong)

    settings = FRESH | network | (STRONGER if strong else {})
    return record_attack(place, folder, device, net, attack, settings)


def record_attack(place, folder, device, net, attack, settings):
    """Call attack(net, sets) on the device, and record what came out and how long it took."""
    found, began, device = environment(), time.perf_counter(), pick_device(device)
    came_out = attack(net.to(device), data.load(place.dataset, place.size, device))
    how = found | {"device": device_name(device), "seconds": round(time.perf_counter() - began, 1)}
    return write(place, settings, came_out, folder, how)


def check_same_network(place, folder, network):
    """Raise :class:`RecordError` if the record there is of another network than this sha256."""
    if read(place, folder)["asked"]["settings"]["network_record_sha256"] != network:
        raise RecordError(f"{path(place, folder)} is the record of thieves on another network of "
                          "this name: give this one's records another --folder.")


def climbed(net, sets, seed, clip):
    """The two climbs that open the network for the whole theft, too: Candidates by name."""
    images = sets.validation.images[:IMAGES]
    return {"climb": attacks.climb(net, images, seed=seed, clip=clip, **CLIMB),
            "strong_climb": thieves.strong_climb(net, images, seed=seed, clip=clip, **STRONG)}


def every_thief(net, transform, sets, seed, counts=None, climbs=None):
    """What each thief reaches, as records hold it: accuracies on the test split.

    climbs: what :func:`climbed` returned, where it has been asked already.
    """
    climbs = climbs or climbed(net, sets, seed, transform.clip)
    return {"owner": accuracy(net, sets.test, transform), "raw": accuracy(net, sets.test),
            "images": len(sets.test), "perturbation": asdict(perturbation_size(
                transform, sets.validation.images)),
            "no_labels": without_labels(net, transform, sets, seed, climbs),
            "labels": {str(count): with_labels(net, sets, count, seed, transform.clip)
                       for count in counts or LABELS}}


def without_labels(net, transform, sets, seed, climbs):
    """Thieves who have the network and raw images: what each of their tries reaches."""
    images, clip = sets.validation.images[:IMAGES], transform.clip
    p = transform.p if isinstance(transform, Fixed) else 0.2
    rms = perturbation_size(transform, images).rms
    keys = {"keys": attacks.matched_sigma(rms, p), "keys_double": 2 * attacks.matched_sigma(rms, p)}
    found = {"brightness": tried(net, sets, attacks.brightness(net, images, clip=clip))}
    for name, sigma in keys.items():
        guesses = attacks.input_only(net, images, sigma, p, DRAWS, seed, clip)
        found[name] = tried(net, sets, guesses) | {"sigma": sigma, "p": p}
    found |= {name: tried(net, sets, guesses) for name, guesses in climbs.items()}
    found["strong_climb"]["temperatures"] = sorted(thieves.TEMPERATURES * STRONG["tries"])
    if max(found["strong_climb"]["accuracies"]) < SHUT:
        found["patient_climb"] = tried(net, sets, thieves.strong_climb(
            net, images, seed=seed + 1, clip=clip, **PATIENT)) | {
                "temperatures": sorted(thieves.TEMPERATURES * PATIENT["tries"])}
    if normalized(net):
        opened = thieves.renormalize(net, images)
        found["renormalize"] = {"accuracies": [accuracy(opened, sets.test)]}
    return found


def renormalized(net, sets, seed, clip, strong=False):
    """What thieves reach who first estimate batch normalization's statistics anew, if it has any.

    No label is needed for that, or for the climb after it. The others are those that are strongest
    with labels, 1 and 10 a class. strong: whether to try stronger climbs, too, while it is shut.
    """
    images = sets.validation.images[:IMAGES]
    opened = thieves.renormalize(net, images) if normalized(net) else net
    guesses = attacks.climb(opened, images, seed=seed, clip=clip, **CLIMB)
    found = {"images": len(sets.test), "raw": accuracy(opened, sets.test), "labels": {},
             "climb": accuracy(opened, sets.test, guesses.transforms[guesses.picked]),
             "scores": list(guesses.scores), "picked": guesses.picked}
    if strong:
        guesses = thieves.strong_climb(opened, images, seed=seed, clip=clip, **STRONG)
        found["strong_climb"] = tried(opened, sets, guesses)
        if max(found["climb"], *found["strong_climb"]["accuracies"]) < SHUT:
            found["long_climb"] = tried(opened, sets, attacks.climb(
                opened, images, seed=seed + 1, clip=clip, **LONG))
            if max(found["long_climb"]["accuracies"]) < SHUT:
                level = attacks.climb(thieves.Level(opened), images, seed=seed, clip=clip, **LEVEL)
                found["level_climb"] = tried(opened, sets, attacks.candidates(
                    opened, images, level.transforms))  # judged as the other climbs are
    for count in FRESH["labels"]:
        labeled = few.pick(sets.train, count, seed)
        key = few.universal_key(opened, labeled, images, seed=seed, clip=clip, **KEY)
        tuned = few.fine_tune(opened, labeled, seed=seed, **TUNE)
        found["labels"][str(count)] = {"searched_key": accuracy(opened, sets.test, key),
                                       "fine_tune": accuracy(tuned, sets.test)}
    return found


def theft(net, sets, seed, climbs):
    """No label and no key: open the network by climbing, let it label, train a clean one.

    The thief keeps the try of the :func:`climbed` with the highest score. Beside what the student
    reaches stands what it would have reached with the true labels.
    """
    images, loot = sets.validation.images[:IMAGES], sets.train[:LOOT]
    kept = max(climbs.values(), key=lambda guesses: guesses.scores[guesses.picked])
    opened = kept.transforms[kept.picked]
    found, settings = {}, STUDENT | {"seed": seed, "progress": False, "precision": "float32"}
    for name, split in (("stolen", None), ("true labels", loot)):
        torch.manual_seed(seed)
        student = build("simple_cnn", images.shape[1], len(sets.classes), images.shape[2])
        if split is None:
            labels, student = thieves.whole_theft(net, loot.images, student, opened, **settings)
            found["labels_right"] = float((labels == loot.labels).float().mean())
        else:
            fit(student, split[LOOT // 10:], split[:LOOT // 10], **settings)
        found[name] = accuracy(student.to(images.device), sets.test)
    return found | {"opened": accuracy(net, sets.test, opened)}


def tried(net, sets, guesses):
    """What the candidates of an attack reach, and which one the thief picks."""
    return {"accuracies": list(access(net, sets.test, guesses).accuracies),
            "scores": list(guesses.scores), "picked": guesses.picked}


def with_labels(net, sets, count, seed, clip=False):
    """Thieves with ``count`` labels a class: the accuracy of each."""
    labeled = few.pick(sets.train, count, seed)
    images = sets.validation.images[:IMAGES]
    found = {layer: accuracy(few.read_out(net, labeled, layer), sets.test)
             for layer in (*few.LAYERS, *stages(net))}
    if normalized(net):
        opened = thieves.renormalize(net, images)
        found["renormalized_features"] = accuracy(few.read_out(opened, labeled), sets.test)
    for name, more in (("universal_key", None), ("searched_key", images)):
        key = few.universal_key(net, labeled, more, seed=seed, clip=clip, **KEY)
        found[name] = accuracy(net, sets.test, key)
    found["fine_tune"] = accuracy(few.fine_tune(net, labeled, seed=seed, **TUNE), sets.test)
    return found


def normalized(net):
    """Whether a network has batch normalization."""
    return any(isinstance(part, nn.BatchNorm2d) for part in net.modules())


def stages(net):
    """The names of a network's stages, for read-outs on the way."""
    return [name for name, _ in net.named_children() if name.startswith("stage")]


def controls(net, sets, place):
    """The same thieves on networks that owe nothing to a lock."""
    shape = tuple(sets.train.images.shape[1:])
    torch.manual_seed(place.seed)
    untrained = build(place.network, shape[0], len(sets.classes), shape[1])
    untrained = untrained.to(sets.test.images.device).eval()
    found = {"plain": accuracy(net, sets.test), "images": len(sets.test), "labels": {}}
    for count in LABELS:
        labeled = few.pick(sets.train, count, place.seed)
        row = {f"plain_{layer}": accuracy(few.read_out(net, labeled, layer), sets.test)
               for layer in ("features", "logits")}
        row["pixels"] = accuracy(few.read_out(net, labeled, "pixels"), sets.test)
        row["untrained_features"] = accuracy(few.read_out(untrained, labeled), sets.test)
        row["from_scratch"] = accuracy(few.fine_tune(untrained, labeled, seed=place.seed,
                                                     **SCRATCH), sets.test)
        row["plain_fine_tune"] = accuracy(few.fine_tune(net, labeled, seed=place.seed, **TUNE),
                                          sets.test)
        found["labels"][str(count)] = row
    return found
