"""The recorded runs of the chapter "Locks that came later": one record for a lock and a seed.

Each lock has a function of the seed and the data that returns what came out, and its network if
that is stored. What its thief has is said in ``measure``.
"""

import time
from functools import partial

import torch

from ... import attacks, data
from ..._files import ASSETS
from ...beyond import blockwise, channels, few_weights, memory, nontransfer, passports
from ...beyond.labels import universal_key
from ...beyond.thieves import renormalize, strong_climb
from ...data import Split
from ...evaluate import accuracy
from ...prior import TinyCNN
from ...training import fit
from ...transforms import Fixed
from ..prior import store
from ..provenance import environment
from ..records import Archive, RecordError, own_folder
from ..weights import pretrained
from .measure import SETTINGS, TRAIN, Measure, settings_of

LATER = ASSETS / "beyond" / "later"
S = SETTINGS


def trained(net, split, validation, seed):
    """Plain training, in place; the seconds that it took of one core."""
    began = time.process_time()
    fit(net, split, validation, seed=seed, progress=False, device="cpu", precision="float32",
        **TRAIN)
    return time.process_time() - began


def fresh(kind, seed):
    """An untrained network whose first weights follow the seed."""
    torch.manual_seed(seed)
    return kind()


def run_blockwise(seed, sets):
    """Block-wise keys: shuffling with negatives, and shuffling alone."""
    m, found, nets = Measure(sets, "TinyCNN", seed), {}, {}
    for kind, flip in (("shuffle and flip", True), ("shuffle", False)):
        key = blockwise.BlockKey(S["size"], True, flip, seed=seed)
        parts = [Split(key(each.images), each.labels, each.indices)
                 for each in (sets.train, sets.validation)]
        net = nets[kind] = fresh(TinyCNN, seed)
        seconds = trained(net, *parts, seed)
        net = nets[kind] = store.as_stored(net)
        keys = blockwise.guess(m.raw, S["size"], True, flip, S["keys"], 100 + seed)
        found[kind] = {"authorized": m(net, key), "unauthorized": m(net),
                       "wrong": m.wrong([(net, each) for each in keys]),
                       "cost": {"train_seconds": seconds}}
    net, rows = nets["shuffle and flip"], found["shuffle and flip"]
    few, key = S["search_images"], blockwise.BlockKey(S["size"], seed=seed)
    blind = blockwise.search(net, m.raw[:few], size=S["size"], seed=seed, **S["search"])
    rows["label_free"] = {"climb over bits, then pairs": m.candidates(net, blind) | {
        "right_bits": [int((each.flipped == key.flipped).sum()) for each in blind.transforms]}}
    known = blockwise.search(net, m.labeled.images, m.labeled.labels, S["size"], 3, True, seed)
    rows["labels"] = m.labels(net) | {"climb over bits, then pairs": m.candidates(net, known)}
    return rows | {"shuffle": found["shuffle"]}, net


def run_channels(seed, sets, signs=False):
    """Permuted channels of the stored ResNet-20; ``signs``: half of the filters negative, too."""
    m = Measure(sets, "ResNet-20", seed)
    net, _, _ = pretrained("fashion_mnist", "resnet20", "baseline", "mini", seed)
    key = channels.draw_key(net, signs, seed)
    locked = channels.lock(net, key)
    others = [channels.draw_key(net, signs, 100 + 10 * seed + each) for each in range(5)]
    found, how = {}, S["match_signs"] if signs else {"few": S["ahead_images"]}
    few = m.raw if signs else m.raw[:S["match_images"]]
    for name, look in (("match what is remembered", 0), ("match, looking ahead", S["look"])):
        began = time.process_time()
        opened, guess = channels.match(locked, few, signs, look=look, **how)
        found[name] = m(opened) | right_places(guess, key) | {
            "seconds": time.process_time() - began}
    last = "match, heal" if signs else "match"
    if signs:
        opened = few_weights.heal(opened, m.raw, seed=seed, **S["heal"])
        found["match, then heal"] = m(opened)
    return {
        "authorized": m(channels.unlock(locked, key)), "unauthorized": m(locked),
        "wrong": m.wrong([(channels.unlock(locked, each), None) for each in others]),
        "label_free": found | {"batch norm anew": m(renormalize(locked, m.raw))},
        "labels": m.labels(locked) | {f"{last}, then fine-tuning": m.tuned(opened)},
        "cost": {"train_seconds": 0}}, None


def right_places(guess, key):
    """How many layers of a guessed key are right, and what share of each one's filters."""
    shares = [(guess[name][0] == order).float().mean().item()
              for name, (order, _) in key.items()]
    return {"layers": sum(each == 1 for each in shares), "of": len(shares), "shares": shares}


def run_few_weights(seed, sets):
    """A hundred hidden weights of the stored ResNet-20; the owner foresees the lazy attack."""
    m, images = Measure(sets, "ResNet-20", seed), sets.train[:S["hide_images"]]
    net, _, _ = pretrained("fashion_mnist", "resnet20", "baseline", "mini", seed)
    naive, _ = few_weights.hide(net, images, S["hidden"], seed=seed)
    began = time.process_time()
    locked, secret = few_weights.hide(net, images, S["hidden"], seed=seed, foresee=True)
    seconds, few = time.process_time() - began, m.raw[:S["hunt_images"]]
    hunted = few_weights.hunt(locked, few, **S["hunt"])
    healed = few_weights.heal(hunted, m.raw, seed=seed, **S["heal"])
    zero = (few_weights.flat(few_weights.filters(hunted)) == 0).nonzero()[:, 0]
    guesses = {places: [(few_weights.restore(locked, few_weights.wrong(
        locked, secret, 100 + each, places)), None) for each in range(5)]
        for places in (False, True)}
    return {
        "authorized": m(few_weights.restore(locked, secret)), "unauthorized": m(locked),
        "naive": {"unauthorized": m(naive), "batch norm anew": m(renormalize(naive, m.raw))},
        "wrong": m.wrong(guesses[False]), "places_known": m.wrong(guesses[True]),
        "label_free": {"batch norm anew": m(renormalize(locked, m.raw)),
                       "hunt": m(hunted) | {"zeroed": len(zero), "of them hidden": int(
                           torch.isin(zero, secret.places).sum())},
                       "hunt, then heal": m(healed)},
        "mismatch": {name: memory.mismatch(each, m.raw[:200]).item() for name, each in
                     (("plain", net), ("locked", locked), ("hunted", hunted), ("healed", healed))},
        "labels": m.labels(locked, scratch=False) | {
            "hunt, heal, then fine-tuning": m.tuned(healed)},
        "cost": {"train_seconds": seconds}}, None


def run_passports(seed, sets):
    """Passports in the last convolution."""
    m, net = Measure(sets, "TinyCNN", seed), fresh(passports.PassportCNN, seed)
    passport = passports.draw_passport(seed)
    seconds = trained(passports.WithPassport(net, passport), sets.train, sets.validation, seed)
    net = store.as_stored(net)
    wrong = [(passports.WithPassport(net, passports.draw_passport(100 + 100 * seed + each)), None)
             for each in range(S["keys"])]
    nets, scores = passports.forge(net, m.raw, seed=seed, **S["forge"])
    known, fits = passports.forge(net, m.labeled.images, m.labeled.labels, (1,), seed=seed,
                                  **S["forge"])
    return {
        "authorized": m(passports.WithPassport(net, passport)), "unauthorized": m(net),
        "wrong": m.wrong(wrong), "label_free": {
            "forge γ and β": m.tried([(each, None) for each in nets], scores),
            "batch norm anew": m(renormalize(net, m.raw))},
        "labels": m.labels(net) | {
            "forge γ and β": m.tried([(each, None) for each in known], fits)},
        "cost": {"train_seconds": seconds}}, net


def run_nontransfer(seed, sets):
    """Non-transferable learning, raw images forbidden."""
    m, net = Measure(sets, "TinyCNN", seed), fresh(TinyCNN, seed)
    key = Fixed((1, 28, 28), S["sigma"], S["p"], seed)
    began = time.process_time()
    nontransfer.train(net, sets.train, key, seed=seed, **S["nontransfer"])
    seconds, net = time.process_time() - began, store.as_stored(net)
    keys = attacks.input_only(net, m.raw, S["sigma"], S["p"], S["keys"], seed)
    climbs = {"climb": attacks.climb(net, m.raw, seed=seed, **S["climb"]),
              "strong climb": strong_climb(net, m.raw, seed=seed, **S["strong"])}
    known = universal_key(net, m.labeled, seed=seed)
    return {
        "authorized": m(net, key), "unauthorized": m(net),
        "wrong": m.wrong([(net, each) for each in keys.transforms]),
        "label_free": {name: m.candidates(net, each) for name, each in climbs.items()},
        "labels": m.labels(net) | {"universal key": m(net, known)},
        "cost": {"train_seconds": seconds}}, net


RUNS = {"blockwise": run_blockwise, "channels": run_channels,
        "signs": partial(run_channels, signs=True), "few_weights": run_few_weights,
        "passports": run_passports, "nontransfer": run_nontransfer}
LOCKS = tuple(RUNS)


def run(lock, seed=0, folder=None):
    """Make the record of one lock and one seed, and return it.

    folder: where it goes, by default the user's own. Raises ValueError for an unknown lock.
    """
    store.check_family(lock, LOCKS)
    archive = Archive(own_folder("later") if folder is None else folder)
    archive.check_writable()
    found, began = environment(), time.perf_counter()
    came_out, net = RUNS[lock](seed, data.load("fashion_mnist"))
    how = found | {"seconds": round(time.perf_counter() - began, 1)}
    return store.write(lock, seed, settings_of(lock), came_out, net, archive.folder, how)


def command(options):
    """``apdnn later``: make the records that are missing; returns the exit status."""
    folder = own_folder("later") if options.folder is None else options.folder
    for seed in options.seeds:
        if seed not in store.seeds(options.lock, folder):
            run(options.lock, seed, folder)
        print(f"{options.lock}, seed {seed}: recorded in {folder}", flush=True)
    return 0


def later_records(lock, folder=None):
    """The records of a lock, in the order of their seeds.

    Raises ValueError for an unknown lock, :class:`RecordError` if nothing is recorded.
    """
    store.check_family(lock, LOCKS)
    folder = LATER if folder is None else folder
    found = [store.read(lock, seed, folder) for seed in store.seeds(lock, folder)]
    if not found:
        raise RecordError(f"no record of {lock} in {folder}: `python -m apdnn_lite later {lock}` "
                          "makes one.")
    return found


def later_network(lock, seed=0, folder=None):
    """The stored network of a lock, in evaluation mode, without its secret.

    Raises :class:`RecordError` if there is none, or its file is damaged.
    """
    folder = LATER if folder is None else folder
    record = later_records(lock, folder)[0]
    if "weights" not in record["came_out"]:
        raise RecordError(f"no network of {lock} is stored: it is a stored network of other "
                          "records, changed by the lock.")
    kind = passports.PassportCNN if lock == "passports" else TinyCNN
    return store.load_network(store.path(lock, seed, folder, "safetensors"),
                              store.read(lock, seed, folder)["came_out"]["weights"], kind)


def check():
    """Measure every stored network of these locks again; returns whether all are as recorded."""
    test, good = data.load("fashion_mnist").test, True
    for lock in ("blockwise", "passports", "nontransfer"):
        for seed in store.seeds(lock, LATER):
            try:
                found = accuracy(later_network(lock, seed), test)
                expected = store.read(lock, seed, LATER)["came_out"]["unauthorized"]["test"]
            except RecordError as error:
                print(error, " <- wrong")
                good = False
                continue
            same = abs(found - expected) <= 2 / len(test)  # rounding differs between processors
            good &= same
            print(f"later/{lock}/seed{seed}: {found:.2%} of raw images correct, recorded "
                  f"{expected:.2%}{'' if same else '  <- differs'}")
    return good
