"""How fast is training? Images per second of three ways to train the same network with the same loss.

    python benchmarks/throughput.py [--networks simple_cnn resnet20] [--repeats 5]

bare      forward, backward and optimizer step on one batch that lies ready, and nothing else:
          what the machine can do.
fit       ``ap.fit``: batches by index, crops and flips, key, loss terms, schedule, progress bar.
          Given twice: the training alone, and with the validation of each epoch included.
textbook  what one finds in tutorials: PIL images through a DataLoader, crops and flips by
          torchvision, raw and processed images in two separate passes, Adam as it comes, float32.

bare and fit compute in the precision that --precision names, by default the one that ``ap.fit``
takes by itself; in float32 the difference to the textbook loop is the loop's alone.

An image counts once, though the network sees it raw and processed. Each measurement is a process
of its own, so that peak memory can be told apart; the ways take turns, so that a machine that slows
down slows all of them. The medians are printed, with the lowest and highest beside them.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import torch

import apdnn_lite as ap
from apdnn_lite._torchvision import import_torchvision
from apdnn_lite.experiments import RECIPES, build, processor_name
from apdnn_lite.training import OPTIMIZERS, PRECISIONS, pick_precision

BATCH_SIZE = 128
STEPS = 40
WAYS = ("bare", "fit", "textbook")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--one", nargs=2, metavar=("NETWORK", "WAY"), help=argparse.SUPPRESS)  # what a child does
    options = parser.parse_args()
    precision = pick_precision(options.precision, torch.device("cpu"))
    if options.one:
        print(json.dumps(measure(*options.one, precision)))
        return
    print(f"{processor_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {precision}, "
          f"batch {BATCH_SIZE}, {STEPS} batches, median of {options.repeats} (lowest to highest)\n")
    for network in options.networks:
        results = {way: [] for way in WAYS}
        for _ in range(options.repeats):
            for way in WAYS:
                child = subprocess.run([sys.executable, __file__, "--precision", options.precision,
                                        "--one", network, way], check=True,
                                       capture_output=True, text=True)
                results[way].append(json.loads(child.stdout.splitlines()[-1]))
        report(network, results)


def report(network, results):
    """Print one network's table: images per second, the ratio to bare, and memory."""
    rates = {way: [run["rate"] for run in runs] for way, runs in results.items()}
    rates["fit, with validation"] = [run["rate_with_validation"] for run in results["fit"]]
    bare = statistics.median(rates["bare"])
    print(f"{network:22} {'images/s':>22} {'of bare':>9} {'peak memory':>13}")
    for way, values in rates.items():
        middle = statistics.median(values)
        spread = f"({min(values):,.0f} to {max(values):,.0f})"
        memory = statistics.median(run["memory_mb"] for run in results[way.split(",")[0]])
        print(f"  {way:20} {middle:>7,.0f} {spread:>16} {middle / bare:>7.0%} {memory:>10,.0f} MB")
    print(f"  fit is {statistics.median(rates['fit']) / statistics.median(rates['textbook']):.2f} times as fast "
          "as the textbook loop\n")


def measure(network, way, precision):
    """One measurement: a dict with images per second and the process's peak memory."""
    torch.manual_seed(0)
    data = ap.load("fashion_mnist")
    net = build(network, 1, 10, 28)
    key = ap.Fixed((1, 28, 28), sigma=0.1, p=0.2, seed=0)
    loss = ap.AntiPiracyLoss(1, 2, 0.01)
    result = {"bare": bare, "fit": fit, "textbook": textbook}[way](net, data, key, loss, precision)
    return result | {"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def timed(step):
    """Images per second of ``step``, a function that trains on one batch, after a few unmeasured ones."""
    for _ in range(5):
        step()
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    return {"rate": STEPS * BATCH_SIZE / (time.perf_counter() - began)}


def bare(net, data, key, loss, precision):
    net.train().to(memory_format=torch.channels_last)
    optimizer = OPTIMIZERS["adam"](net.parameters(), 1e-3)
    raw, labels = data.train.images[:BATCH_SIZE], data.train.labels[:BATCH_SIZE]
    processed = key(raw)
    batch = torch.cat([processed, raw]).contiguous(memory_format=torch.channels_last)

    def step():
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            logits = net(batch)
        logits_processed, logits_raw = logits.float().chunk(2)
        terms = loss(logits_processed, logits_raw, labels, processed - raw)
        optimizer.zero_grad(set_to_none=True)
        terms.total.backward()
        optimizer.step()

    return timed(step)


def fit(net, data, key, loss, precision):
    settings = {"transform": key, "loss": loss, "batch_size": BATCH_SIZE, "epochs": 1, "lr": 1e-3, "device": "cpu",
                "precision": str(precision).removeprefix("torch."), "augment": ap.Augment(crop=2, flip=True)}
    ap.fit(net, data.train[:5 * BATCH_SIZE], data.validation[:BATCH_SIZE], progress=False, **settings)
    # Validation images in the proportion of the mini set: one for five training images.
    images = STEPS * BATCH_SIZE
    history = ap.fit(net, data.train[:images], data.validation[:images // 5], **settings)
    return {"rate": history.images_per_second, "rate_with_validation": images / history.seconds}


def textbook(net, data, key, loss, precision):
    from PIL import Image
    transforms = import_torchvision().transforms

    class Pictures(torch.utils.data.Dataset):
        def __init__(self, split):
            arrays = (split.images[:, 0] * 255).round().byte().numpy()
            self.pictures = [Image.fromarray(array) for array in arrays]
            self.labels = split.labels.tolist()
            self.to_tensor = transforms.Compose([
                transforms.RandomCrop(28, padding=2), transforms.RandomHorizontalFlip(), transforms.ToTensor()])

        def __len__(self):
            return len(self.labels)

        def __getitem__(self, index):
            return self.to_tensor(self.pictures[index]), self.labels[index]

    net.train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    pictures = Pictures(data.train[:(STEPS + 5) * BATCH_SIZE])
    batches = iter(torch.utils.data.DataLoader(pictures, batch_size=BATCH_SIZE, shuffle=True))

    def step():
        raw, labels = next(batches)
        processed = key(raw)
        terms = loss(net(processed), net(raw), labels, processed - raw)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        terms.total.item()  # for the running mean that such loops print

    return timed(step)


if __name__ == "__main__":
    main()
