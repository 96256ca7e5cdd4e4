"""How fast is training? Images per second of three ways to train a network.

    python benchmarks/throughput.py [--networks simple_cnn resnet20] [--rounds 5] [--seconds 3]

bare      forward, backward and optimizer step on one batch that lies ready, and nothing else: what
          the machine can do, in float32 and, where the processor has the instructions, in bfloat16.
fit       ``ap.fit``: batches by index, crops and flips, key, loss terms, schedule, progress bar, in
          the precision that it takes by itself. Given twice: the training alone, and with the
          validation of each epoch included.
textbook  what one finds in tutorials: PIL images through a DataLoader, crops and flips by
          torchvision, raw and processed images in two separate passes, Adam as it comes, float32.

An image counts once, though the network sees it raw and processed. The ways take turns, and each
round begins with another one: a machine that slows down slows all of them, and none always follows
the one that lets it cool. Medians are printed, with the lowest and highest beside them. Two ratios
matter: of fit to the bare step in the better precision, wanted at 0.95 or more, and of fit to the
textbook loop, wanted at 1 or more. Each is the median of the ratios within a round. Network, loss
and batch are the same in all.
"""

import argparse
import statistics
import time

import torch
from busy import Busy, headline

import apdnn_lite as ap
from apdnn_lite._machine import pick_precision
from apdnn_lite._torchvision import import_torchvision
from apdnn_lite.experiments import RECIPES, build
from apdnn_lite.training import OPTIMIZERS

BATCH_SIZE = 128
WANTED_OF_BARE = 0.95
WANTED_OF_TEXTBOOK = 1.0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each way in each round, about")
    parser.add_argument("--limit", type=float, default=140,
                        help="seconds for all rounds: on a slow machine there are fewer, but two")
    options = parser.parse_args()
    taken = str(pick_precision("auto", torch.device("cpu"))).removeprefix("torch.")
    print(f"{headline()}; bfloat16 instructions: {', '.join(bfloat16_instructions()) or 'none'}; "
          f"fit takes {taken}\nbatch {BATCH_SIZE}, median of {options.rounds} rounds of about "
          f"{options.seconds:g} s, or fewer (lowest to highest)\n")
    with Busy() as busy:
        for network in options.networks:
            share = options.limit / len(options.networks)
            report(network, measure(network, options.rounds, options.seconds, share))
    print(busy)


def bfloat16_instructions():
    """The names of the processor's instructions for bfloat16 that torch knows of."""
    found = getattr(torch.cpu, "get_capabilities", dict)()
    return [name for name, there in found.items() if there is True and "bf16" in name]


def report(network, rates):
    """Print one network's table, and the two ratios that matter."""
    middle = {way: statistics.median(values) for way, values in rates.items()}
    best = max((way for way in middle if way.startswith("bare")), key=middle.get)
    rounds = f"{len(rates['fit'])} rounds"
    print(f"{network:14}{rounds:>8} {'images/s':>22} {'of best bare':>13}")
    for way, values in rates.items():
        spread = f"({min(values):,.0f} to {max(values):,.0f})"
        print(f"  {way:20} {middle[way]:>7,.0f} {spread:>16} {middle[way] / middle[best]:>11.2f}")
    for other, wanted in ((best, WANTED_OF_BARE), ("textbook", WANTED_OF_TEXTBOOK)):
        ratio = statistics.median(
            ours / theirs for ours, theirs in zip(rates["fit"], rates[other], strict=True))
        print(f"  fit / {other}: {ratio:.2f}, wanted {wanted:.2f} or more"
              f"{'' if ratio >= wanted else ': MISSED'}")
    print(flush=True)


def measure(network, rounds, seconds, limit):
    """{way: images per second in each round}, the ways by turns."""
    started = time.perf_counter()
    torch.manual_seed(0)
    data, loss = ap.load("fashion_mnist"), ap.AntiPiracyLoss(1, 2, 0.01)
    key = ap.Fixed((1, 28, 28), sigma=0.1, p=0.2, seed=0)

    def net():
        return build(network, 1, 10, 28)

    precisions = [torch.float32, *([torch.bfloat16] if bfloat16_instructions() else [])]
    steps = {f"bare, {str(each).removeprefix('torch.')}": bare(net(), data, key, loss, each)
             for each in precisions}
    steps["textbook"] = textbook(net(), data, key, loss)
    for step in steps.values():  # memory is laid out and kernels are chosen in the first ones
        for _ in range(3):
            step()
    began = time.perf_counter()
    steps["bare, float32"]()
    count = min(60, max(3, round(seconds / (time.perf_counter() - began))))
    trained = net()
    fit(trained, data, key, loss, 3)
    rates = {way: [] for way in (*steps, "fit", "fit, with validation")}
    for done in range(rounds):
        if done >= 2 and (time.perf_counter() - started) * (done + 1) / done > limit:
            break
        ways = [*steps, "fit"]
        for way in ways[done % len(ways):] + ways[:done % len(ways)]:
            if way == "fit":
                history = fit(trained, data, key, loss, count)
                rates["fit"].append(history.images_per_second)
                rates["fit, with validation"].append(count * BATCH_SIZE / history.seconds)
            else:
                rates[way].append(timed(steps[way], count))
    return rates


def timed(step, count):
    """Images per second of ``count`` calls of ``step``, a function that trains on one batch."""
    began = time.perf_counter()
    for _ in range(count):
        step()
    return count * BATCH_SIZE / (time.perf_counter() - began)


def bare(net, data, key, loss, precision):
    """The bare step, as a function."""
    net.train().to(memory_format=torch.channels_last)
    optimizer = OPTIMIZERS["adam"](net.parameters(), 1e-3)
    raw, labels = data.train.images[:BATCH_SIZE], data.train.labels[:BATCH_SIZE]
    processed = key(raw)
    batch = torch.cat([processed, raw]).contiguous(memory_format=torch.channels_last)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            logits = net(batch)
        logits_processed, logits_raw = logits.float().chunk(2)
        terms = loss(logits_processed, logits_raw, labels, processed - raw)
        optimizer.zero_grad(set_to_none=True)
        terms.total.backward()
        optimizer.step()

    return step


def fit(net, data, key, loss, batches):
    """The history of one epoch of ``ap.fit`` over so many batches."""
    # Validation images in the proportion of the mini set: one for five training images.
    images = batches * BATCH_SIZE
    return ap.fit(net, data.train[:images], data.validation[:images // 5], transform=key, loss=loss,
                  batch_size=BATCH_SIZE, epochs=1, lr=1e-3, device="cpu", progress=False,
                  augment=ap.Augment(crop=2, flip=True))


def textbook(net, data, key, loss):
    """A step of the textbook loop, as a function; after the last batch the next epoch begins."""
    from PIL import Image
    transforms = import_torchvision().transforms

    class Pictures(torch.utils.data.Dataset):
        def __init__(self, split):
            arrays = (split.images[:, 0] * 255).round().byte().numpy()
            self.pictures = [Image.fromarray(array) for array in arrays]
            self.labels = split.labels.tolist()
            self.to_tensor = transforms.Compose([
                transforms.RandomCrop(28, padding=2), transforms.RandomHorizontalFlip(),
                transforms.ToTensor()])

        def __len__(self):
            return len(self.labels)

        def __getitem__(self, index):
            return self.to_tensor(self.pictures[index]), self.labels[index]

    def endless():
        while True:
            yield from torch.utils.data.DataLoader(
                Pictures(data.train), batch_size=BATCH_SIZE, shuffle=True, drop_last=True)

    net.train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    batches = endless()

    def step():
        raw, labels = next(batches)
        processed = key(raw)
        terms = loss(net(processed), net(raw), labels, processed - raw)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        terms.total.item()  # for the running mean that such loops print

    return step


if __name__ == "__main__":
    main()
