"""How a later lock is measured: what its thief has, and on which images accuracies are counted.

The thief has the first 1,000 validation images raw, and the labels of ten a class among them. The
others of the validation images choose among attacks, and the test images measure. ResNet-20 is
measured on the first 1,000 test images, to save time.
"""

from statistics import fmean

import torch

from ...beyond.labels import fine_tune, pick, read_out
from ...evaluate import accuracy
from ...prior import TinyCNN
from ..weights import build

# All of it is our choice, tried on validation images of seed 0.
TRAIN = {"epochs": 3, "lr": 3e-3, "batch_size": 64}
SETTINGS = {
    "raw": 1000, "per_class": 10, "test": {"TinyCNN": 2000, "ResNet-20": 1000}, "keys": 20,
    "train": TRAIN, "tune": {"steps": 150, "lr": 1e-3}, "tune_resnet": {"steps": 60, "lr": 3e-4},
    "size": 4, "search": {"tries": 6}, "search_images": 200,
    "match_images": 400, "look": 24, "ahead_images": 100,
    "match_signs": {"few": 400, "own": 1.0},
    "hidden": 100, "hide_images": 200, "hunt": {"rounds": 12, "size": 10}, "hunt_images": 200,
    "heal": {"steps": 40, "lr": 3e-4},
    "forge": {"tries": 2, "steps": 120}, "sigma": 0.1, "p": 0.2,
    "nontransfer": {"epochs": 3, "lr": 3e-3, "alpha": 0.1, "cap": 1.0},
    "climb": {"tries": 3}, "strong": {"tries": 1, "steps": 100},
}
S = SETTINGS
COMMON = ("raw", "per_class", "test", "keys")
USED = {  # by each lock, besides those
    "blockwise": ("train", "tune", "size", "search", "search_images"),
    "channels": ("tune_resnet", "match_images", "look", "ahead_images"),
    "signs": ("tune_resnet", "look", "match_signs", "heal"),
    "few_weights": ("tune_resnet", "hidden", "hide_images", "hunt", "hunt_images", "heal"),
    "passports": ("train", "tune", "forge"),
    "nontransfer": ("tune", "sigma", "p", "nontransfer", "climb", "strong"),
}


def settings_of(lock):
    """The settings that a lock's run uses, as its record holds them."""
    return {name: SETTINGS[name] for name in (*COMMON, *USED[lock])}


class Measure:
    """The data of one lock's run: what its thief has, and how accuracies are counted."""

    def __init__(self, sets, network, seed):
        half, self.sets, self.seed, self.network = S["raw"], sets, seed, network
        self.raw, self.labeled = sets.validation.images[:half], pick(
            sets.validation[:half], S["per_class"], seed)
        few = network == "ResNet-20"
        self.choose = sets.validation[half:half + 300] if few else sets.validation[half:]
        self.test = sets.test[:S["test"][network]]

    def __call__(self, net, transform=None):
        """The accuracy on the test images, and on those that choose, as a record holds it."""
        return {"test": accuracy(net, self.test, transform),
                "choose": accuracy(net, self.choose, transform)}

    def tried(self, pairs, scores):
        """What an attack's candidates reach, and the one that the thief picks by their score.

        pairs: (network, transform or None) of each.
        """
        picked = max(range(len(pairs)), key=scores.__getitem__)
        each = [accuracy(net, self.choose, transform) for net, transform in pairs]
        return self(*pairs[picked]) | {"all": each, "scores": list(scores), "picked": picked}

    def candidates(self, net, found):
        """:meth:`tried` for the Candidates of an attack on one network."""
        return self.tried([(net, each) for each in found.transforms], found.scores)

    def wrong(self, pairs):
        """What wrong secrets open, on the first 500 of the test images."""
        found = [accuracy(net, self.test[:500], transform) for net, transform in pairs]
        return {"mean": fmean(found), "best": max(found), "all": found}

    def tuned(self, net):
        """The thief trains a copy further with their labels, on raw images."""
        how = S["tune" if self.network == "TinyCNN" else "tune_resnet"]
        return self(fine_tune(net, self.labeled, seed=self.seed, **how))

    def labels(self, net, scratch=True):
        """What any thief can do with the labels: read features out, train further, begin anew."""
        found = {"read_out": self(read_out(net, self.labeled)), "fine_tune": self.tuned(net)}
        if scratch:
            torch.manual_seed(1000 + self.seed)
            new = TinyCNN() if self.network == "TinyCNN" else build("resnet20", 1, 10, 28)
            found["scratch"] = self.tuned(new)
        return found
