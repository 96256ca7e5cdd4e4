"""Which weaker thief would give the source's numbers? Pair attacks with one thing changed each.

The owner is the ResNet-20 with a generator trained on all of Fashion-MNIST; a second one, trained
on the small part, has a larger γ. Their thieves hold 100, 1,000, 6,000 or 60,000 pairs.
"""

import statistics
import time

import torch

from .. import attacks, data
from .._files import ASSETS, at_home
from ..evaluate import access, accuracy, perturbation_size
from ..losses import AntiPiracyLoss
from ..models import SimpleCNN
from ..training import fit
from ..transforms import Candidates, Generator, Learned
from .provenance import environment
from .records import Archive, own_folder, read_record, write_record
from .weights import pretrained

VARIANTS = {
    "as the owner's, 500 steps": {},
    "20 steps": {"steps": 20},
    "60 steps": {"steps": 60},
    "2 features": {"width": 2},
    "64 features": {"width": 64},
    "relu": {"activation": "relu"},
    "fully connected": {"form": "dense", "width": 64},
    "fully connected, 5,000 steps": {"form": "dense", "width": 64, "steps": 5000},
    "one universal perturbation": None,  # the mean of all differences
}
PAIRS = (100, 1000, 6000, 60_000)
TRIES = 3
LARGE_GAMMA = 1.0
PLACE = "pair_variants.json"


def mean_difference(net, images, raw, processed):
    """The thief who believes that the perturbation is universal: the mean of x_p − x_r."""
    thief = Learned(tuple(raw.shape[1:]), seed=0)
    thief.requires_grad_(False).delta.copy_((processed - raw).mean(dim=0))
    return attacks.candidates(net, images, [thief.eval()])


def run_variants(folder=None, limit=60_000, tries=TRIES):
    """Try every variant with every number of pairs up to ``limit``; write and return the record.

    folder: where it goes, by default the user's own. The full set has to be at hand. Accuracies are
    those on the 2,000 test images of the small set, of each try.
    """
    archive = Archive(own_folder("sweeps") if folder is None else at_home(folder))
    archive.check_writable()
    found, began = environment(), time.perf_counter()
    sets, full = data.load("fashion_mnist"), data.load("fashion_mnist", "full")
    raw = torch.cat([full.train.images, full.validation.images])[:limit]
    came_out = {}
    for name, (net, owner) in owners(sets).items():
        with torch.no_grad():
            processed = torch.cat([owner(batch) for batch in raw.split(1000)])
        came_out[name] = {"owner": accuracy(net, sets.test, owner),
                          "psnr": perturbation_size(owner, sets.test.images).psnr}
        for variant, changes in VARIANTS.items():
            came_out[name][variant] = {
                str(count): reached(net, sets, raw[:count], processed[:count], changes, tries)
                for count in PAIRS if count <= limit}
    asked = {"kind": "pair variants", "pairs": [count for count in PAIRS if count <= limit],
             "tries": tries, "variants": {k: v or {} for k, v in VARIANTS.items()},
             "large_gamma": LARGE_GAMMA}
    how = found | {"seconds": round(time.perf_counter() - began, 1)}
    return write_record(archive.folder / PLACE, asked, came_out, how)


def owners(sets):
    """The two owners, each a network and its generator."""
    known = pretrained("fashion_mnist", "resnet20", "generator")
    torch.manual_seed(0)
    net, generator = SimpleCNN(), Generator(channels=1, seed=0)
    fit(net, sets.train, sets.validation, transform=generator, epochs=8, lr=2e-3, progress=False,
        loss=AntiPiracyLoss(1, 2, LARGE_GAMMA), precision="float32")
    return {"full set": (known.net, known.transform), "small set, large γ": (net, generator.eval())}


def reached(net, sets, raw, processed, changes, tries):
    """The accuracies of a variant's tries."""
    images = sets.validation.images[:500]
    guesses: Candidates = mean_difference(net, images, raw, processed) if changes is None else (
        attacks.pair(net, images, raw, processed, tries=tries, seed=0, **changes))
    return list(access(net, sets.test, guesses).accuracies)


def pair_variants(folder=None):
    """The record of :func:`run_variants`, by default the one that comes with the package."""
    return read_record((ASSETS / "sweeps" if folder is None else at_home(folder)) / PLACE)


def means(owner="full set", folder=None):
    """{variant: {pairs: mean accuracy}} of an owner, in percent."""
    return {variant: {int(count): 100 * statistics.fmean(values) for count, values in row.items()}
            for variant, row in pair_variants(folder)["came_out"][owner].items()
            if isinstance(row, dict)}
