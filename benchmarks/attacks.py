"""What do attacks cost beyond the passes through the network that they cannot do without?

    python benchmarks/attacks.py [--parts guesses scoring examples] [--images 2000] [--draws 2]
                                 [--keys 20] [--anyway] [--batch 100] [--repeats 3] [--clock wall]

Part "guesses", in seconds for each draw:

forward       ResNet-20 on images that lie ready in batches of 100, channels-last, and nothing else.
input_only    ``ap.attacks.input_only`` on as many images: keys drawn, added, answers scored.

Part "scoring", in seconds for each of 20 keys that are drawn already, on a quarter of the images:

forward       as above, in float32
float32       the scores of ``ap.attacks.candidates``
bfloat16      the same with ``precision="bfloat16"``, and whether the pick is the same. We want at
              most 0.6 of forward. A processor that gains nothing by bfloat16 skips this part,
              unless ``--anyway`` is given.

Part "examples", in milliseconds for one batch, FGSM and ten steps of PGD without a random start:

apdnn_lite    ``ap.fgsm`` and ``ap.pgd``
torchattacks  the same of torchattacks (Kim, 2020)
ART           the same of the Adversarial Robustness Toolbox (Nicolae et al., 2018)
gradient      as many gradients of the loss in the pixels, channels-last, and nothing else
folded        the same gradients of a copy whose batch normalization is folded into its convolutions
convolutions  the nineteen convolutions of that copy, forward and backward, without what is between

The first three attack the same network, and must find the same images: a pixel differs only where
its gradient is so near 0 that rounding decides about its sign. The last three say what is left to
win. torchattacks and ART are not installed with this project:

    pip install --no-deps torchattacks==3.5.1 adversarial-robustness-toolbox==1.20.1
    pip install scipy scikit-learn requests six tqdm

What is compared runs by turns; medians with the lowest and highest beside them. ``--clock
processor`` counts the time of this process alone, which other work on the machine disturbs less.
"""

import argparse
import copy
import statistics
import sys
import time

import torch
from busy import Busy, headline
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

import apdnn_lite as ap
from apdnn_lite._machine import cpu_gains_by_bfloat16

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
LAST = torch.channels_last
EPSILON, STEPS = 8 / 255, 10
SIZE = 2.5 * EPSILON / STEPS
APART = 0.01  # the share of pixels about whose gradient's sign rounding may decide
MISSING = ("  torchattacks and ART are not compared: {} is missing. Install it with\n"
           "    pip install --no-deps torchattacks==3.5.1 adversarial-robustness-toolbox==1.20.1\n"
           "    pip install scipy scikit-learn requests six tqdm")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--images", type=int, default=2_000, help="of a draw")
    parser.add_argument("--draws", type=int, default=2, help="of a thief, 2 or more")
    parser.add_argument("--keys", type=int, default=20, help="of part scoring, 2 or more")
    parser.add_argument("--anyway", action="store_true",
                        help="measure bfloat16 on a processor without instructions for it, too")
    parser.add_argument("--batch", type=int, default=100, help="of adversarial examples")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    print(f"{headline()}; {options.clock} time, median of {options.repeats} (lowest to highest)")
    with Busy() as busy:
        for part in options.parts:
            PARTS[part](options)
    print(busy)


def timed(ways, options, repeats=None):
    """The seconds of each way, a list; they take turns, after one round that is not counted."""
    clock, seconds = CLOCKS[options.clock], {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(repeats or options.repeats):
        for name, way in ways.items():
            began = clock()
            way()
            seconds[name].append(clock() - began)
    return seconds


def show(seconds, by, unit, per=1.0):
    """Print the seconds of each way, times ``per``, and what share they are of those of ``by``."""
    base = statistics.median(seconds[by])
    for name, values in seconds.items():
        middle, low, high = (per * each for each in (
            statistics.median(values), min(values), max(values)))
        print(f"  {name:14}{middle:>8.2f} {unit} ({low:.2f} to {high:.2f}), "
              f"{middle / per / base:.2f} of {by}", flush=True)


# ---- guessing keys

def guesses(options):
    net = ap.pretrained("fashion_mnist", "resnet20", "fixed").net
    images = ap.load("fashion_mnist").train.images[:options.images]
    print(f"\nguessing keys: {len(images):,} images, {options.draws} draws")
    seconds = timed({
        "forward": forward(net, images, options.draws),
        "input_only": lambda: ap.attacks.input_only(net, images, 0.1, 0.2, options.draws),
    }, options)
    show(seconds, "forward", "s a draw", 1 / options.draws)
    one = statistics.median(seconds["input_only"]) / options.draws
    print(f"  100 draws take {100 * one:.0f} s")


def forward(net, images, times):
    """A function that asks a copy of the network that many times, and does nothing else."""
    batches = [batch.contiguous(memory_format=LAST) for batch in images.split(100)]
    copied = copy.deepcopy(net).to(memory_format=LAST)

    @torch.no_grad()
    def passes():
        for _ in range(times):
            for batch in batches:
                copied(batch)

    return passes


def scoring(options):
    if not (cpu_gains_by_bfloat16() or options.anyway):
        print("\nscoring keys in bfloat16: not measured, because this processor gains nothing by "
              "it.\n  Scores stay in float32 here. --anyway measures what bfloat16 would cost.")
        return
    net, _, record = ap.pretrained("fashion_mnist", "resnet20", "fixed")
    recipe, images = record["asked"]["recipe"], ap.load("fashion_mnist").train.images
    images = images[:options.images // 4]
    keys = ap.attacks.input_only(net, images[:1], recipe["sigma"], recipe["p"], options.keys)
    found = {}

    def score(precision):
        found[precision] = ap.attacks.candidates(net, images, keys.transforms, precision)

    print(f"\nscoring {options.keys} keys: {len(images):,} images")
    show(timed({"forward": forward(net, images, options.keys),
                "float32": lambda: score("float32"), "bfloat16": lambda: score("bfloat16")},
               options), "forward", "s a key", 1 / options.keys)
    full, half = found.values()
    away = [abs(one - other) for one, other in zip(full.scores, half.scores, strict=True)]
    same = full.picked == half.picked
    print(f"  the pick is {'the same' if same else 'ANOTHER ONE'}; {away.count(0)} keys were "
          f"scored twice, and the scores of the others differ by {max(away):.4f} at most")


# ---- adversarial examples

def examples(options):
    net = ap.pretrained("fashion_mnist", "resnet20", "baseline").net
    test = ap.load("fashion_mnist").test[:options.batch]
    try:
        others = other_libraries(net, test)
    except ImportError as error:
        others = {}
        print(f"\n{MISSING.format(error.name)}")
    for attack, steps in (("FGSM", 1), ("PGD", STEPS)):
        print(f"\n{attack}: {len(test):,} images, ε {EPSILON:.4f}, {steps} gradients")
        ways = {"apdnn_lite": {
            "FGSM": lambda: ap.fgsm(net, *pairs(test), EPSILON),
            "PGD": lambda: ap.pgd(net, *pairs(test), EPSILON, STEPS, SIZE, random_start=False),
        }[attack]}
        ways |= {library: made[attack] for library, made in others.items()}
        compare(net, test, {name: way() for name, way in ways.items()})
        ways |= bare(net, test, steps)
        show(timed(ways, options), "torchattacks" if others else "gradient", "ms", 1000)


def pairs(split):
    return split.images, split.labels


def other_libraries(net, test):
    """{library: {attack: a function that makes the adversarial images}}; ImportError without it."""
    import torchattacks
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(net, nn.CrossEntropyLoss(), tuple(test.images.shape[1:]), 10,
                                   clip_values=(0, 1), device_type="cpu")
    pixels, labels = test.images.numpy(), F.one_hot(test.labels, 10).numpy()
    fgsm = FastGradientMethod(classifier, eps=EPSILON, batch_size=len(test))
    pgd = ProjectedGradientDescent(classifier, eps=EPSILON, eps_step=SIZE, max_iter=STEPS,
                                   num_random_init=0, batch_size=len(test), verbose=False)
    theirs = {"FGSM": torchattacks.FGSM(net, EPSILON),
              "PGD": torchattacks.PGD(net, EPSILON, SIZE, STEPS, random_start=False)}
    return {
        "torchattacks": {name: lambda each=each: each(*pairs(test))
                         for name, each in theirs.items()},
        "ART": {name: lambda each=each: torch.from_numpy(each.generate(pixels, labels))
                for name, each in (("FGSM", fgsm), ("PGD", pgd))},
    }


def compare(net, test, made):
    """Print how much the adversarial images differ; ends the program if it is not rounding."""
    ours = made["apdnn_lite"]
    for name, images in made.items():
        away = (images - ours).abs()
        share = (away > 1e-5).float().mean().item()
        right = ap.accuracy(net, ap.Split(images, test.labels, test.indices))
        if (images - test.images).abs().max() > EPSILON + 1e-6 or share > APART:
            sys.exit(f"{name} found other images: expected at most {APART:.0%} of the pixels to "
                     f"differ, and all to stay within ε, found {share:.2%} that differ. Are ε, "
                     "steps and step size the same in this version of it?")
        if name != "apdnn_lite":
            print(f"  {name:14}{share:.4%} of the pixels differ; the network is right about "
                  f"{right:.1%} of its images")
        else:
            print(f"  {name:14}the network is right about {right:.1%} of its images")


def bare(net, test, steps):
    """The gradients alone, of the network and of what of it cannot be left out."""
    images, labels = test.images.contiguous(memory_format=LAST), test.labels
    net = copy.deepcopy(net).requires_grad_(False).to(memory_format=LAST)
    smaller = fold(copy.deepcopy(net)).to(memory_format=LAST)
    layers = inputs_of_convolutions(smaller, images)

    def gradients(net):
        for _ in range(steps):
            pixels = images.clone().requires_grad_(True)
            torch.autograd.grad(F.cross_entropy(net(pixels), labels, reduction="sum"), pixels)

    def convolutions():
        for _ in range(steps):
            for layer, example, ones in layers:
                torch.autograd.grad(layer(example), example, ones)

    return {"gradient": lambda: gradients(net), "folded": lambda: gradients(smaller),
            "convolutions": convolutions}


def fold(net):
    """Put each batch normalization of a ResNet-20 into the convolution before it, in place."""
    for part in (net, *(part for part in net.modules() if hasattr(part, "conv2"))):
        for conv, norm in (("conv", "bn"), ("conv1", "bn1"), ("conv2", "bn2")):
            if hasattr(part, norm):
                setattr(part, conv, fuse_conv_bn_eval(getattr(part, conv), getattr(part, norm)))
                setattr(part, norm, nn.Identity())
    return net.requires_grad_(False)


def inputs_of_convolutions(net, images):
    """(convolution, an input of it that asks for a gradient, a gradient of its output) for each."""
    found = []

    def keep(layer, inputs, output):
        found.append((layer, inputs[0].detach().requires_grad_(True), torch.ones_like(output)))

    hooks = [part.register_forward_hook(keep) for part in net.modules()
             if isinstance(part, nn.Conv2d)]
    with torch.no_grad():
        net(images)
    for hook in hooks:
        hook.remove()
    return found


PARTS = {"guesses": guesses, "scoring": scoring, "examples": examples}

if __name__ == "__main__":
    main()
