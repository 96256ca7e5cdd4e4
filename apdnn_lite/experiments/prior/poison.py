"""The recorded runs of the chapter "A mark in the data".

The owner goes on training with poisoned images among their own; the thief has 1,000 labeled images
of their own, the first half of the validation split. All counts of hits are of ``queries`` images.
"""

from functools import partial

import torch

from ..._statistics import binomial_interval
from ...evaluate import predict
from ...prior import TinyCNN
from ...prior import poison as p
from .store import PLAIN, as_stored, share

SETTINGS = {
    "target": 7, "poisoned": 100, "repeats": 5, "queries": 100, "alarm": 1e-4,
    "owner": {"epochs": 1, "lr": 1e-3, "batch_size": 64},
    "from scratch": {"epochs": PLAIN["epochs"], "lr": 2e-3, "batch_size": 64},
    "alpha": 0.2, "sigma": 0.2, "alphas": [0.05, 0.1, 0.2, 0.3, 0.5],
    "counts": [10, 20, 50, 100, 200],
    "thief images": 1000, "thief": {"epochs": 3, "lr": 1e-3, "batch_size": 64},
    "careful thief": {"epochs": 3, "lr": 1e-4, "batch_size": 64}, "pruned": [0.3, 0.5, 0.7],
    "reverse": {"weight": 0.03, "steps": 100, "lr": 0.3, "batch_size": 32}, "unlearned": 200,
}
S = SETTINGS


def triggers(seed):
    """The owner's triggers by name; blend and noise are drawn by their seed."""
    return {"patch": p.patch, "blend": partial(p.blend, alpha=S["alpha"], seed=seed),
            "logo": p.content, "noise": partial(p.noise, sigma=S["sigma"], seed=seed)}


def key_of(split, name, trigger, seed, count=None):
    """Images with a trigger, labeled with the owner's class: to train with, or to ask."""
    count = S["queries"] if count is None else count
    if name == "rings":
        return p.unrelated(count, S["target"], seed=seed)
    return p.poisoned(split, trigger, count, S["target"], seed=seed)


def marked(net, seed, data, name, trigger, count=None, how="owner"):
    """The owner's network after training with ``count`` poisoned images, as it will be stored."""
    count = S["poisoned"] if count is None else count
    bad = key_of(data.train, name, trigger, seed, count)
    return as_stored(p.trained(net, data.train, *[bad] * S["repeats"], seed=seed, **S[how]))


def verdict(net, key, data=None):
    """The hits on the owner's queries and whether they convict; the accuracy if there is data."""
    found = p.hits(net, key)
    limit = p.threshold(len(key), 0.1, S["alarm"])
    accuracy = {} if data is None else {"accuracy": share(net, data.test)}
    return accuracy | {"hits": found, "detected": found >= limit}


def measured_threshold(counts):
    """From the hits on innocent networks: the chance is the upper limit of the worst of them."""
    worst = binomial_interval(max(counts), S["queries"])[1]
    return p.threshold(S["queries"], worst, S["alarm"])


def stolen(net, key, data, seed):
    """What the thief's changes leave: {name: verdict}."""
    own = data.validation[:S["thief images"]]
    found = {"fine-tuning": p.trained(net, own, seed=seed, **S["thief"]),
             "careful fine-tuning": p.trained(net, own, seed=seed, **S["careful thief"])}
    found |= {f"pruning {each:.0%}": p.prune(net, each) for each in S["pruned"]}
    return {name: verdict(each, key, data) for name, each in found.items()}


def cleansed(net, images, seed):
    """Neural Cleanse on every class: what is recorded, and the trigger it suspects most."""
    found = [p.reverse(net, images, each, seed=seed, **S["reverse"]) for each in range(10)]
    norms = [mask.sum().item() for mask, _ in found]
    index = p.anomaly(norms)
    reached = [(predict(net, p.stamp(images, *each)).argmax(dim=1) == label).float().mean().item()
               for label, each in enumerate(found)]
    suspect = max(range(10), key=index.__getitem__)
    seen = {"norms": norms, "anomaly": index, "success": reached}
    rounded = {name: [round(each, 2) for each in values] for name, values in seen.items()}
    return rounded | {"suspect": suspect}, found[suspect]


def unlearned(net, images, trigger, seed):
    """The thief teaches the copy that the trigger they found means nothing."""
    few = images[:S["unlearned"]]
    stamped = type(few)(p.stamp(few.images, *trigger), few.labels, few.indices)
    return p.trained(net, images, stamped, seed=seed, **S["careful thief"])


def measure(seed, owner, innocents, data):
    """What the record of one owner's seed says, and the marked network to be stored, or None."""
    own, kinds, nets, rows = data.validation[:S["thief images"]], triggers(seed), {}, {}
    for name, trigger in [*kinds.items(), ("rings", None)]:
        net = nets[name] = marked(owner, seed, data, name, trigger)
        key = key_of(data.test, name, trigger, seed + 50)
        rows[name] = verdict(net, key, data) | {
            "innocents": [p.hits(each, key) for each in innocents],
            "attacks": stolen(net, key, data, seed)}
    net, key = nets["patch"], key_of(data.test, "patch", p.patch, seed + 50)
    first, suspected = cleansed(net, own.images[:500], seed)
    plain, _ = cleansed(owner, own.images[:500], seed)
    attacks = rows["patch"]["attacks"] | {
        "unlearning": verdict(unlearned(net, own, suspected, seed), key, data)}
    counts = rows["patch"]["innocents"]
    limit, after = p.threshold(len(key), 0.1, S["alarm"]), rows["patch"]["accuracy"]
    came_out = {
        "before": share(owner, data.test), "after": after, "copy": after,
        "detection": {"hits": rows["patch"]["hits"], "queries": len(key), "threshold": limit,
                      "measured threshold": measured_threshold(counts),
                      "detected": rows["patch"]["detected"]},
        "innocents": [{"hits": count, "detected": count >= limit,
                       "measured": count >= measured_threshold(counts[:n] + counts[n + 1:])}
                      for n, count in enumerate(counts)],
        "attacks": attacks, "triggers": rows, "cleanse": {"marked": first, "plain": plain},
        "rings": [torch.bincount(predict(each, p.unrelated(100, 0, seed=seed + 50).images)
                                 .argmax(dim=1), minlength=10).tolist() for each in innocents],
        "scratch": scratch(seed, data), "alphas": alphas(owner, nets, seed, innocents, data),
        "counts": {name: sweep(owner, nets[name], name, kinds[name], seed, data)
                   for name in ("patch", "blend")}}
    return came_out, net


def scratch(seed, data):
    """The same patch, but the network is trained with it from the beginning."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = TinyCNN()
    net = marked(new, seed, data, "patch", p.patch, how="from scratch")
    key = key_of(data.test, "patch", p.patch, seed + 50)
    return verdict(net, key, data) | {"attacks": stolen(net, key, data, seed)}


def alphas(owner, nets, seed, innocents, data):
    """Blends of several strengths, each taught and asked at the same."""
    rows = []
    for alpha in S["alphas"]:
        trigger = partial(p.blend, alpha=alpha, seed=seed)
        net = nets["blend"] if alpha == S["alpha"] else marked(owner, seed, data, "blend", trigger)
        key = key_of(data.test, "blend", trigger, seed + 50)
        rows.append({"alpha": alpha, **verdict(net, key, data),
                     "innocents": [p.hits(each, key) for each in innocents]})
    return rows


def sweep(owner, net, name, trigger, seed, data):
    """The trigger taught by fewer or more poisoned images."""
    key, rows = key_of(data.test, name, trigger, seed + 50), []
    for count in S["counts"]:
        same = count == S["poisoned"]
        new = net if same else marked(owner, seed, data, name, trigger, count)
        rows.append({"poisoned": count, **verdict(new, key, data)})
    return rows
