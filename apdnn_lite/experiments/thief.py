"""Every attack on one recorded network, and the record of what came out."""

import time
from functools import partial

import torch

from .. import attacks, data
from .._checks import whole_number
from .._machine import pick_device
from ..evaluate import AttackResult, access, perturbation_size
from ..transforms import Fixed, Learned
from .provenance import device_name, environment
from .records import SHIPPED, Archive, archive_of, own_folder, read_record, write_record
from .weights import load_network

THIEF_IMAGES = 2000  # raw ones without labels, by which the thief judges the tries
THIEF_SIGMA = 0.1  # of guessed keys that are stronger than the owner's, or where there is no σ
# How the thief climbs, and how strong the noise is that a climb starts from.
CLIMB = {"steps": 20, "lr": 0.01, "batch_size": 200, "sigma": 0.03}
PAIRS = (1, 10, 100)  # how many the thief holds,
SHARES = (0.1, 0.5, 1.0)  # and, the source's, which share of the training images
THIEF_WIDTHS = (16, 64)  # the owner's, and larger


def run_attacks(name, archive=None, draws=100, tries=10, device="auto"):
    """Attack the stored network of a :class:`Name`, and write and return the record of it.

    archive: where the network is stored and the record goes, an :class:`Archive` or the path of its
        folder; by default the user's, with what comes with the package behind it.
    The thief's images are the first 2,000 validation images without their labels. The pairs are
    training images and what the owner makes of them (of a full set, the validation images too: the
    source's shares are of all 60,000); accuracies are those on the test set. What is done is kept
    in a file beside the record: stopped at any moment, the next call goes on after the last
    finished attack, and a finished record gets those that it lacks. Each attack names the commit it
    was run from.
    """
    draws, tries = whole_number("draws", draws), whole_number("tries", tries)
    archive = archive_of(Archive(own_folder(), SHIPPED) if archive is None else archive)
    found, device = environment(), pick_device(device)
    net, transform, trained = load_network(name, archive)
    if transform is None:
        raise ValueError(f"{name} is a plain network: there is no transform to attack")
    net, transform = net.to(device), transform.to(device)
    sets = data.load(name.dataset, name.size, device)
    asked = {**name._asdict(), "network_record_sha256": trained["sha256"], "clip": transform.clip,
             "draws": draws, "tries": tries, "rounded_to_8_bits": False}
    unfinished = archive.path(name, attacks=True).with_suffix(".unfinished")
    came_out, before = attacked_already(name, archive, unfinished, asked)
    began, done = time.perf_counter(), []
    recipe = trained["asked"]["recipe"]
    for attack, guess, settings in all_attacks(net, transform, recipe, sets, draws, tries,
                                               name.seed):
        if attack in came_out:
            continue
        if not done:
            archive.check_writable()
        guesses = guess()
        result = access(net, sets.test, guesses)
        came_out[attack] = settings | {
            "accuracies": list(result.accuracies), "scores": list(guesses.scores),
            "picked": guesses.picked, "images": result.images, "commit": found["commit"]}
        seconds = round(before + time.perf_counter() - began, 1)
        how = found | {"device": device_name(device), "seconds": seconds}
        done.append(write_record(unfinished, asked, came_out, how))
    if not done and unfinished.exists():  # it was whole
        done = [record for record in [read_record(unfinished)] if record["asked"] == asked]
    if done:
        record = done[-1]
        archive.write(name, asked, record["came_out"], record["how"], attacks=True)
        unfinished.unlink(missing_ok=True)  # another process may have removed it
    return archive.read(name, attacks=True)


def attacked_already(name, archive, unfinished, asked):
    """What came out of the same attacks in the last record that has some, and their seconds."""
    came_out, seconds = {}, 0.0
    found = [archive.read(name, attacks=True)] if archive.holder(name, attacks=True) else []
    found += [read_record(unfinished)] if unfinished.exists() else []
    for record in found:
        if record["asked"] == asked:
            came_out, seconds = record["came_out"], record["how"]["seconds"]
            for earlier in came_out.values():  # records did not always name it for each attack
                earlier.setdefault("commit", record["how"]["commit"])
    return came_out, seconds


def all_attacks(net, transform, recipe, sets, draws, tries, seed):
    """Every attack on one network.

    Yields its name in records, a function that gives its candidates, and its settings.
    """
    images, clip = sets.validation.images[:THIEF_IMAGES], transform.clip
    shifts = torch.linspace(-0.2, 0.2, 17, dtype=torch.float32).tolist()
    yield "direct", partial(attacks.direct, net, images), {}
    yield "brightness", partial(attacks.brightness, net, images, shifts, clip), {"shifts": shifts}
    strengths = {"input_only": transform.sigma if isinstance(transform, Fixed) else THIEF_SIGMA}
    if isinstance(transform, Fixed):
        if transform.sigma < THIEF_SIGMA:
            strengths["input_only_loud"] = THIEF_SIGMA
    else:
        rms = perturbation_size(transform, images).rms
        strengths["input_only_matched"] = attacks.matched_sigma(rms, recipe["p"])
    for attack, sigma in strengths.items():
        settings = {"sigma": sigma, "p": recipe["p"]}
        yield attack, partial(attacks.input_only, net, images, **settings, draws=draws, seed=seed,
                              clip=clip), settings
    yield "climb", partial(attacks.climb, net, images, tries=tries, seed=seed, clip=clip,
                           **CLIMB), CLIMB
    raw = sets.train.images
    if sets.size != "mini":
        raw = torch.cat([raw, sets.validation.images])
    with torch.no_grad():
        processed = torch.cat([transform(batch) for batch in raw.split(1000)])
    counts = {min(pairs, len(raw)) for pairs in PAIRS} | {round(part * len(raw)) for part in SHARES}
    for pairs in sorted(counts):
        seen = raw[:pairs], processed[:pairs]
        if isinstance(transform, Fixed | Learned):
            yield (f"pair_{pairs}", partial(attacks.pair_universal, net, images, *seen, clip),
                   {"pairs": pairs})
            continue
        for width in THIEF_WIDTHS:
            yield (f"pair_{pairs}_width_{width}",
                   partial(attacks.pair, net, images, *seen, width, recipe["activation"],
                           tries=tries, seed=seed, clip=clip), {"pairs": pairs, "width": width})


def result_of(came_out):
    """What a record says of one attack, as an :class:`~apdnn_lite.evaluate.AttackResult`."""
    accuracies = tuple(came_out["accuracies"])
    return AttackResult(accuracies, accuracies[came_out["picked"]], came_out["images"])
