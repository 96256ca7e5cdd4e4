"""Which weaker thief would explain the source's numbers? One thing changes at a time.

Four owners with a generator: a ResNet-20 trained on all of Fashion-MNIST, and three
simple CNNs trained on its small part, which differ in γ alone. Their thieves hold 100
to 60,000 pairs, and each variant of :func:`~apdnn_lite.attacks.pair` has one thing of
its own.
"""

import statistics
import time

import torch

from .. import attacks, data
from .._files import at_home
from ..evaluate import access, count_correct, perturbation_size
from ..losses import AntiPiracyLoss
from ..models import SimpleCNN
from ..training import fit
from ..transforms import Generator, Learned
from .provenance import environment
from .records import (
    SWEEPS,
    Archive,
    RecordError,
    own_folder,
    read_record,
    write_record,
)
from .weights import pretrained

VARIANTS = {
    "as before": {},  # 500 steps, 16 features
    "20 steps": {"steps": 20},
    "30 steps": {"steps": 30},
    "60 steps": {"steps": 60},
    "one pass": {"passes": 1},  # over the pairs, in batches of 16
    "1 feature": {"width": 1},
    "64 features": {"width": 64},
    "relu": {"activation": "relu"},
    "clips": {"clip": True},  # brings the pixels back into [0, 1]
    "fully connected": {"form": "dense", "width": 64},
    "universal": {"universal": True},  # the mean of all differences
}
OF_ALL_OWNERS = ("as before", "20 steps", "60 steps", "clips", "fully connected",
                 "universal")
FULL = "full set"
GAMMAS = {f"small set, γ = {gamma:g}": gamma for gamma in (0.01, 0.1, 1.0)}
TRAINING = {"epochs": 4, "lr": 2e-3, "batch_size": 128, "seed": 0}  # of these three
PAIRS = (100, 1000, 6000, 60_000)
TRIES = 3
BATCH = 16
JUDGED = 1000  # images of the small set's test split
PLACE = "pair_variants.json"


def run_variants(folder=None, counts=PAIRS, tries=TRIES):
    """Try every variant with every number of pairs; write the record and return it.

    folder: where it goes, by default the user's own. The full set has to be at hand.
    Takes about half an hour on two cores. It is written after each owner, and owners
    that it holds already are not attacked again.
    """
    folder = writable(folder)
    found, began = environment(), time.perf_counter()
    small, full = data.load("fashion_mnist"), data.load("fashion_mnist", "full")
    judged = small.test[:JUDGED]
    raw = torch.cat([full.train.images, full.validation.images])[:max(counts)]
    asked = {"kind": "pair variants", "pairs": list(counts), "tries": tries,
             "judged": len(judged), "variants": VARIANTS, "gammas": GAMMAS,
             "training": TRAINING, "dataset_sha256": full.sha256}
    record = kept(folder, asked)
    came_out, before = record["came_out"], record["how"].get("seconds", 0)
    for owner, net, transform in owners(small, set(came_out)):
        with torch.no_grad():
            processed = torch.cat([transform(batch) for batch in raw.split(1000)])
        own = access(net, judged, transform)
        came_out[owner] = {
            "authorized": own.authorized, "unauthorized": own.unauthorized,
            "psnr": perturbation_size(transform, judged.images).psnr, "thieves": {}}
        for variant in VARIANTS if owner == FULL else OF_ALL_OWNERS:
            came_out[owner]["thieves"][variant] = row = {}
            for count in counts:
                pairs = raw[:count], processed[:count]
                guesses = guessed(net, *pairs, tries, **VARIANTS[variant])
                row[str(count)] = list(access(net, judged, guesses).accuracies)
            print(f"{owner}, {variant}: {shown(row)}", flush=True)
        how = found | {"seconds": round(before + time.perf_counter() - began, 1)}
        record = write_record(folder / PLACE, asked, came_out, how)
    return record


def kept(folder, asked):
    """What a folder's record holds already, if it was asked for in the same way."""
    if (folder / PLACE).exists():
        record = read_record(folder / PLACE)
        if record["asked"] | {"gammas": asked["gammas"]} == asked:  # other owners may do
            return record
    return {"came_out": {}, "how": {}}


def owners(small, done=()):
    """Yields the name, the network and the generator of each owner but those done."""
    if FULL not in done:
        known = pretrained("fashion_mnist", "resnet20", "generator")
        yield FULL, known.net, known.transform
    for owner, gamma in GAMMAS.items():
        if owner in done:
            continue
        torch.manual_seed(0)
        net, generator = SimpleCNN(), Generator(channels=1, seed=0)
        fit(net, small.train, small.validation[:200], transform=generator,
            loss=AntiPiracyLoss(1, 2, gamma), progress=False, **TRAINING)
        yield owner, net.eval(), generator.eval()


def guessed(net, raw, processed, tries, universal=False, passes=None, **changes):
    """What one variant of the thief makes of the pairs, as candidates.

    universal: they believe that the perturbation is the same for all images, and take
        the mean of the differences. passes: how often they see each pair, if not 500
        batches of pairs. changes: arguments of the pair attack.
    """
    images = raw[:10]  # for the thief's own choice, which does not matter here
    if universal:
        thief = Learned(tuple(raw.shape[1:]), seed=0).requires_grad_(False)
        thief.delta.copy_((processed - raw).mean(dim=0))
        return attacks.candidates(net, images, [thief.eval()])
    if passes is not None:
        changes["steps"] = max(1, round(passes * len(raw) / BATCH))
    return attacks.pair(net, images, raw, processed, tries=tries, batch_size=BATCH,
                        seed=0, **changes)


def pair_variants(folder=None):
    """The record of :func:`run_variants`, by default the one of the package."""
    return read_record((SWEEPS if folder is None else at_home(folder)) / PLACE)


def thieves(owner=FULL, what=statistics.fmean, folder=None):
    """{variant: {pairs: accuracy in percent}} of an owner's thieves.

    what: the number that stands for the tries, such as their mean or ``max``.
    """
    rows = pair_variants(folder)["came_out"][owner]["thieves"]
    return {variant: {int(count): 100 * what(tries) for count, tries in row.items()}
            for variant, row in rows.items()}


def shown(row):
    """A variant's mean accuracies, by the number of pairs, in one line."""
    return ", ".join(f"{statistics.fmean(tries):.1%} from {int(count):,}"
                     for count, tries in row.items())


def writable(folder=None):
    """A folder for the record, by default the user's own, if it can be written to."""
    archive = Archive(own_folder("sweeps") if folder is None else folder)
    archive.check_writable()
    return archive.folder


def command(options):
    """``apdnn variants``: make what the record lacks; returns the exit status."""
    folder = writable(options.folder)
    run_variants(folder)
    print(f"The variants of the pair attack are recorded in {folder / PLACE}.")
    return 0


def check():
    """Measure the stored owner again; returns whether they are as recorded."""
    test = data.load("fashion_mnist").test
    try:
        record = pair_variants()
        recorded, judged = record["came_out"][FULL], test[:record["asked"]["judged"]]
        net, transform, _ = pretrained("fashion_mnist", "resnet20", "generator")
    except RecordError as error:
        print(error, " <- wrong")
        return False
    good = True
    for what, used in (("authorized", transform), ("unauthorized", None)):
        found, expected = count_correct(net, judged, used), recorded[what] * len(judged)
        same = abs(found - expected) <= 2  # rounding differs between processors
        good &= same
        print(f"{PLACE}, {what}: {found} of {len(judged)} correct, recorded "
              f"{expected:.0f}{'' if same else '  <- differs'}")
    return good
