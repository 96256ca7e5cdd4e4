"""The recorded runs of the chapter "A mark in the activations"."""

import copy
import itertools
import math

import torch
from torch import nn
from torch.nn import functional as F

from ...data import Split
from ...evaluate import accuracy, count_correct, predict
from ...prior import activations as deepsigns
from ...training import fit
from . import store

# Chosen on validation images and the networks of seed 0.
SETTINGS = {
    "bits": 16, "per_class": 50, "weight": 0.3, "epochs": 2, "lr": 3e-3, "batch_size": 64,
    "false_alarms": 1e-4,
    "sweep": {"bits": [4, 8, 16, 32, 64], "weights": [0.03, 0.3, 3.0], "few_bits": [4, 16, 64],
              "epochs": 1},
    "published": {"pulls": [0.01, 1.0], "weight": 1.0, "epochs": 1},
    "other_layer": {"layer": "conv3", "epochs": 1},
    "black_box": {"drawn": 400, "kept": 20, "epochs": 3, "lr": 3e-3},
    "thief": {"images": 2000, "epochs": 5, "lr": 1e-3, "prune": [0.3, 0.5, 0.7, 0.9],
              "seed": 1000},
    "null": {"draws": 200, "false_alarms": 0.01},
}
TRAINING = {"lr": SETTINGS["lr"], "batch_size": SETTINGS["batch_size"]}
QUIET = {"progress": False, "device": "cpu", "precision": "float32", "batch_size": 64}


def measure(seed, owner, innocents, data):
    """What the record of one owner's seed says, and the marked network to be stored."""
    mark = deepsigns.draw_mark(owner, data.train, SETTINGS["bits"], SETTINGS["per_class"],
                               seed=seed)
    marked = store.as_stored(deepsigns.embed(
        owner, data.train, mark, SETTINGS["weight"], SETTINGS["epochs"], seed=seed, **TRAINING))
    after = store.share(marked, data.test)
    came_out = {
        "before": store.share(owner, data.test), "after": after, "copy": dict(after),
        "detection": verdict(marked, mark), "owner_unmarked": verdict(owner, mark),
        "innocents": [verdict(each, mark) for each in innocents],
        "attacks": {name: {"accuracy": accuracy(net, data.test)} | verdict(net, mark)
                    for name, net in attacks(marked, data.validation)},
        "null": null(innocents, mark, seed),
        "published": [published(owner, data, mark, pull, seed)
                      for pull in SETTINGS["published"]["pulls"]],
        "sweep": [swept(owner, data, bits, weight, seed) for bits, weight in grid()],
        "other_layer": other_layer(owner, data, seed),
        "black_box": black_box(owner, innocents, data, seed),
    }
    return came_out, marked


def verdict(net, mark):
    """The wrong bits of a suspect, and whether they are few enough to convict."""
    errors, places = deepsigns.bit_errors(net, mark), mark.message.numel()
    most = deepsigns.most_errors(places, SETTINGS["false_alarms"])
    return {"errors": errors, "bits": places, "ber": errors / places, "most": most,
            "detected": errors <= most}


# ---- the thief

def attacks(net, images):
    """(name, what a thief makes of the network); they have labeled images of their own."""
    how = SETTINGS["thief"]
    yield "fine-tuned", fine_tuned(net, images)
    for share in how["prune"]:
        yield f"pruned {share:.0%}", pruned(net, share)
    yield "permuted", deepsigns.permute(net, seed=how["seed"])
    own = deepsigns.draw_mark(net, images, SETTINGS["bits"], SETTINGS["per_class"],
                              seed=how["seed"])
    yield "overwritten", deepsigns.embed(net, images, own, SETTINGS["weight"], how["epochs"],
                                         seed=how["seed"], **TRAINING)


def fine_tuned(net, images):
    """A copy that was trained on with the thief's labeled images."""
    how, net = SETTINGS["thief"], copy.deepcopy(net)
    fit(net, images, images, epochs=how["epochs"], lr=how["lr"], seed=how["seed"], **QUIET)
    return net


@torch.no_grad()
def pruned(net, share):
    """A copy in which this share of each layer's weights, the smallest ones, is zero."""
    net = copy.deepcopy(net)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            size = module.weight.abs().flatten()
            least = size.kthvalue(max(1, round(share * len(size)))).values
            module.weight[module.weight.abs() <= least] = 0
    return net


# ---- innocent networks

def null(innocents, mark, seed):
    """How bits of innocent networks fall, over new secrets: as coins do, or not?

    The message is random, or one random word that all classes share; features are as they are
    ("raw"), or centered.
    """
    how, (classes, bits) = SETTINGS["null"], mark.message.shape
    most = deepsigns.most_errors(classes * bits, how["false_alarms"])
    generator = torch.Generator().manual_seed(seed)
    mus = [deepsigns.class_means(each, mark, mark.layer) for each in innocents]
    found = {"most": most, "tries": len(mus) * how["draws"]}
    for name in ("raw", "centered"):
        used = [mu - mu.mean(dim=0) if name == "centered" else mu for mu in mus]
        agree, cosines, wrong = [], [], {"random": [], "one word": []}
        pairs = torch.tensor(list(itertools.combinations(range(classes), 2))).T
        for mu in used:
            cosines += F.cosine_similarity(mu[pairs[0]], mu[pairs[1]]).tolist()
            for _ in range(how["draws"]):
                shown = mu @ torch.randn(mu.shape[1], bits, generator=generator) > 0
                agree.append((shown[pairs[0]] == shown[pairs[1]]).float().mean())
                message = torch.randint(2, (classes, bits), generator=generator).bool()
                wrong["random"].append((shown != message).sum())
                wrong["one word"].append((shown != message[:1]).sum())
        angles = torch.tensor(cosines).clamp(-1, 1).acos() / math.pi
        found[name] = {"agreement": torch.stack(agree).mean().item(),
                       "predicted": 1 - angles.mean().item(),
                       "cosine": torch.tensor(cosines).mean().item()}
        for kind, counts in wrong.items():
            counts = torch.stack(counts)
            found[name][kind] = {
                "convicted": int((counts <= most).sum()), "mean": counts.float().mean().item(),
                "deviation": counts.float().std().item()}
    return found


# ---- sweeps

def grid():
    """(bits, λ₂): every number of bits at the chosen weight, few of them at the others."""
    how = SETTINGS["sweep"]
    return [(bits, weight) for weight in how["weights"] for bits in how["bits"]
            if weight == SETTINGS["weight"] or bits in how["few_bits"]]


def swept(owner, data, bits, weight, seed):
    """One network of the sweep: its accuracy, its wrong bits and, at the chosen weight, which."""
    mark = deepsigns.draw_mark(owner, data.train, bits, SETTINGS["per_class"], seed=seed)
    net = deepsigns.embed(owner, data.train, mark, weight, SETTINGS["sweep"]["epochs"], seed=seed,
                          **TRAINING)
    found = {"bits_per_class": bits, "weight": weight, "accuracy": accuracy(net, data.test)}
    if weight == SETTINGS["weight"]:
        found |= {"wrong": wrong_places(net, mark), "wrong_unmarked": wrong_places(owner, mark)}
    return found | verdict(net, mark)


def wrong_places(net, mark):
    """For each class a text with 1 for each wrong bit and 0 for each right one."""
    mu = deepsigns.class_means(net, mark, mark.layer)
    wrong = (deepsigns.project(mu, mark) > 0) != mark.message
    return ["".join(str(int(each)) for each in row) for row in wrong]


def other_layer(owner, data, seed):
    """The same mark in another layer."""
    how = SETTINGS["other_layer"]
    mark = deepsigns.draw_mark(owner, data.train, SETTINGS["bits"], SETTINGS["per_class"],
                               how["layer"], seed=seed)
    net = deepsigns.embed(owner, data.train, mark, SETTINGS["weight"], how["epochs"], seed=seed,
                          **TRAINING)
    return {"layer": how["layer"], "accuracy": accuracy(net, data.test)} | verdict(net, mark)


def published(owner, data, mark, pull, seed):
    """The loss as it is printed: the bits are asked of centers, and centers pull features."""
    how, net = SETTINGS["published"], copy.deepcopy(owner).train()
    centers = nn.Parameter(deepsigns.class_means(owner, mark, mark.layer))
    message, generator = mark.message.float(), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([*net.parameters(), centers], SETTINGS["lr"])
    steps = how["epochs"] * math.ceil(len(data.train) / SETTINGS["batch_size"])
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, SETTINGS["lr"], steps)
    for _ in range(how["epochs"]):
        order = torch.randperm(len(data.train), generator=generator)
        for index in order.split(SETTINGS["batch_size"]):
            batch = data.train[index]
            features = net.features(batch.images)
            near = (features - centers[batch.labels]).square().sum(dim=1).mean()
            far = torch.pdist(centers).square().mean()
            bits = F.binary_cross_entropy_with_logits(deepsigns.project(centers, mark), message)
            loss = F.cross_entropy(net.fc(features), batch.labels)
            loss = loss + pull * (near - far) + how["weight"] * bits
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
    wrong = (deepsigns.project(centers.detach(), mark) > 0) != mark.message
    return {"pull": pull, "weight": how["weight"], "accuracy": accuracy(net.eval(), data.test),
            "center_errors": int(wrong.sum())} | verdict(net, mark)


# ---- the black box

def black_box(owner, innocents, data, seed):
    """A key of noise images with random labels, learned with the training images."""
    how, classes = SETTINGS["black_box"], len(data.classes)
    key, train = noise(data.train.images.shape[1:], classes, how["drawn"], seed), data.train
    both = Split(*(torch.cat(each) for each in zip(
        vars(train).values(), vars(key).values(), strict=True)))
    net = copy.deepcopy(owner)
    fit(net, both, data.validation, epochs=how["epochs"], lr=how["lr"], seed=seed, **QUIET)
    net = store.as_stored(net)
    right, known = (predict(each, key.images).argmax(dim=1) == key.labels for each in (net, owner))
    usable = (right & ~known).nonzero()[:, 0]
    kept = key[usable[:how["kept"]]]
    most = deepsigns.most_errors(len(kept), SETTINGS["false_alarms"], 1 - 1 / classes)

    def judged(suspect):
        mismatches = len(kept) - count_correct(suspect, kept)
        return {"mismatches": mismatches, "detected": mismatches <= most}

    return {"drawn": len(key), "learned": int(right.sum()), "usable": len(usable),
            "key": len(kept), "most": most, "after": store.share(net, data.test),
            "detection": judged(net), "innocents": [judged(each) for each in innocents],
            "attacks": {name: {"accuracy": accuracy(each, data.test)} | judged(each)
                        for name, each in attacks(net, data.validation)}}


def noise(shape, classes, count, seed):
    """``count`` noise images with random labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, *shape, generator=generator)
    labels = torch.randint(classes, (count,), generator=generator)
    return Split(images, labels, torch.arange(count))
