"""The recorded runs of the chapter "A fingerprint at the frontier".

Each owner makes an original key (half true, half false adversaries) and a repaired one, whose true
adversaries also fool a network of somebody else. Keys are made of training images; thieves have the
validation images with their labels; all accuracies are on test images.
"""

import copy

import torch
from torch.nn import functional as F
from torch.nn.utils import prune

from ...adversarial import fgsm
from ...prior import TinyCNN
from ...prior.frontier import key_set, mark, shuffled, threshold, verify
from ...training import fit
from .store import OWNERS, as_stored, prior_network, share

ROBUST = {"epochs": 2, "lr": 2e-3, "batch_size": 64, "first_seed": 200}
TUNING = {"epochs": 2, "batch_size": 64}
SETTINGS = {
    "epsilon": 0.1, "size": 100, "epsilons": [0.05, 0.1, 0.25], "sizes": [20, 50, 100, 200],
    "asked": [10, 20, 50, 100], "alpha": 0.05, "source": 3000,
    "mark": {"passes": 100, "lr": 1e-3, "batch_size": 128, "keys": 32},
    "robust": ROBUST, "fine_tuning": TUNING, "gentle_lr": 1e-3, "lr": 3e-3,
    "pruned": [0.3, 0.5],
}
KINDS = ("original", "repaired")


def measure(seed, owner, innocents, data):
    """What the record of one owner's seed says, and the network that carries the original key."""
    robust = train_robust(data.train, SETTINGS["epsilon"], seed)
    independent = prior_network("plain", OWNERS[(seed + 1) % len(OWNERS)])
    innocent, marked, runs = [*innocents, robust], {}, []
    for epsilon in SETTINGS["epsilons"]:
        main = epsilon == SETTINGS["epsilon"]
        for kind, other in zip(KINDS, (None, independent), strict=True):
            longest = max(SETTINGS["sizes"]) if main else SETTINGS["size"]
            full = key_of(owner, data.train, longest, epsilon, other, seed)
            for size in SETTINGS["sizes"] if main else [SETTINGS["size"]]:
                key = full[:size]
                net = as_stored(mark(owner, key, data.train, seed=seed, **SETTINGS["mark"]))
                tuned = fine_tuned(net, data.validation, SETTINGS["lr"], seed)
                runs.append({
                    "epsilon": epsilon, "size": size, "kind": kind,
                    "marked": share(net, data.test), "tuned": share(tuned, data.test),
                    "mismatches": {
                        "plain": asked(owner, key), "marked": asked(net, key),
                        "fine-tuned": asked(tuned, key), "robust": asked(robust, key),
                        "innocents": [asked(each, key) for each in innocents]}})
                if main and size == SETTINGS["size"]:
                    marked[kind] = net, key
    found = {kind: judged(*marked[kind], innocent, data, seed) for kind in KINDS}
    original = found["original"]
    return {"before": share(owner, data.test), **original, "copy": original["after"],
            "robust_accuracy": share(robust, data.test), "repaired": found["repaired"],
            "thresholds": {str(size): threshold(size, SETTINGS["alpha"])
                           for size in sorted({*SETTINGS["sizes"], *SETTINGS["asked"]})},
            "runs": runs}, marked["original"][0]


def key_of(owner, train, size, epsilon, independent, seed):
    """A key from the first training images: 3,000 or, if they are too few, 6,000 and so on."""
    for count in range(SETTINGS["source"], len(train) + 1, SETTINGS["source"]):
        source = train[:count]
        try:
            return key_set(owner, source.images, source.labels, size, epsilon, independent, seed)
        except ValueError:
            if count + SETTINGS["source"] > len(train):
                raise


def judged(net, key, innocents, data, seed):
    """What the judge finds on the marked network, on innocent ones and after each attack."""
    attacks = {}
    for name, attacked in thieves(net, data.validation, seed).items():
        attacks[name] = {"accuracy": share(attacked, data.test)["accuracy"],
                         **verdict(attacked, key)}
    *others, robust = [verdict(each, key) for each in innocents]
    return {"after": share(net, data.test), "detection": verdict(net, key), "innocents": others,
            "robust": robust, "attacks": attacks}


def verdict(net, key):
    """A judge's verdict, as records hold it."""
    found = verify(net, key, SETTINGS["alpha"])
    return {"mismatches": found.mismatches, "size": found.size, "threshold": found.threshold,
            "detected": found.convicted}


def asked(net, key):
    """Mismatches on the first 10, 20, … of a key, and on all of it, by the number of queries."""
    sizes = [size for size in SETTINGS["asked"] if size < len(key)] + [len(key)]
    return {str(size): verify(net, key[:size]).mismatches for size in sizes}


def thieves(net, split, seed):
    """The attacked copies, by name."""
    gently = fine_tuned(net, split, SETTINGS["gentle_lr"], seed)
    found = {"gentle fine-tuning": gently,
             "fine-tuning": fine_tuned(net, split, SETTINGS["lr"], seed)}
    for part in SETTINGS["pruned"]:
        found[f"pruning {part:.0%}"] = pruned(net, part)
    last = f"pruning {part:.0%}, gentle fine-tuning"
    return found | {last: fine_tuned(pruned(net, part), split, SETTINGS["gentle_lr"], seed)}


def fine_tuned(net, split, lr, seed):
    """A thief's copy, trained on with labeled images of their own."""
    net = copy.deepcopy(net)
    fit(net, split, split[:100], lr=lr, seed=seed, progress=False, device="cpu",
        precision="float32", **TUNING)
    return net


def pruned(net, part):
    """A thief's copy in which the smallest ``part`` of each layer's weights are 0."""
    net = copy.deepcopy(net)
    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            prune.l1_unstructured(layer, "weight", part)
            prune.remove(layer, "weight")
    return net


def train_robust(train, epsilon, seed):
    """An honest network, trained on FGSM images beside the plain ones (Goodfellow et al., 2015)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(ROBUST["first_seed"] + seed)
        net = TinyCNN().to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(ROBUST["first_seed"] + seed)
    optimizer = torch.optim.Adam(net.parameters(), ROBUST["lr"])
    for _ in range(ROBUST["epochs"]):
        for part in shuffled(len(train), ROBUST["batch_size"], generator):
            images, labels = train.images[part], train.labels[part]
            images = torch.cat([images, fgsm(net, images, labels, epsilon)])
            loss = F.cross_entropy(net(images), labels.repeat(2))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return as_stored(net)
