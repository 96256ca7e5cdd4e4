"""How fast is training on a CUDA device? Images per second of the steps of ``ap.fit``, launched in several ways.

    python benchmarks/graphics_card.py [--cells fashion_mnist/resnet20/generator …] [--ways kernels graph …] [--epochs 5]

kernels   as PyTorch launches them, one by one
graph     forward and backward pass as one CUDA graph: ``ap.fit(…, cuda_graph=True)``, which the recorded runs use
compile   the network through ``torch.compile``
reduce    the same with mode="reduce-overhead", which makes CUDA graphs of what it compiled

Cells are those of Table 1, with their recipes; without --cells one of each kind. Images are random numbers, 78 full batches
an epoch. The first epoch is not counted: it holds what is set up once, and is given as "first". Of the others the
median is printed, with the lowest and highest beside it. An image counts once, though the network sees it raw and processed.
"""

import argparse
import statistics
import time

import torch
from tqdm import tqdm

import apdnn_lite as ap
from apdnn_lite import tables
from apdnn_lite.experiments import build, image_shape, make_transform, recipe_of
from apdnn_lite.training import Run, pick_precision

STEPS = 78
CELLS = ("fashion_mnist/resnet20/baseline", "fashion_mnist/resnet20/generator", "cifar10/resnet20/baseline", "cifar10/resnet20/generator",
         "fashion_mnist/simple_cnn/baseline", "fashion_mnist/simple_cnn/generator")
WAYS = ("kernels", "graph", "compile", "reduce")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", default=CELLS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    device = torch.device("cuda")
    precision = pick_precision("auto", device)
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, {precision}, {STEPS} batches an epoch, median of "
          f"{options.epochs} epochs (lowest to highest)\n{'':36}{'way':10}{'images/s':>9}{'':22}{'ms a batch':>10}{'first':>9}")
    for only in options.cells:
        name, = tables.cells("table1", only)
        for way in options.ways:
            first, rates = measure(name, way, device, precision, options.epochs)
            middle = statistics.median(rates)
            spread = f"({min(rates):,.0f} to {max(rates):,.0f})"
            print(f"{only:36}{way:10}{middle:>9,.0f} {spread:20}{1000 * recipe_of(name).batch_size / middle:>11.2f}{first:>7.1f} s",
                  flush=True)


def measure(name, way, device, precision, epochs):
    """Seconds of the first epoch, with what is set up before it, and images per second of those after it."""
    recipe, shape = recipe_of(name), image_shape(name.dataset)
    torch.manual_seed(0)
    images = STEPS * recipe.batch_size
    train = ap.Split(torch.rand(images, *shape), torch.randint(10, (images,)), torch.arange(images))
    net, transform = build(name.network, shape[0], 10, shape[1]), make_transform(name.transform, shape, recipe, seed=0)
    began = time.perf_counter()
    run = Run(net, train, transform, ap.AntiPiracyLoss(recipe.alpha, recipe.beta, recipe.gamma), recipe.optimizer, recipe.lr,
              recipe.transform_lr, recipe.transform_max_norm, recipe.weight_decay, epochs + 1, recipe.batch_size,
              ap.Augment(recipe.crop, recipe.flip) if recipe.crop else None, 0, device, precision)
    if way == "graph":
        run.capture()
    elif way != "kernels":
        run.net = torch.compile(run.net, mode="reduce-overhead" if way == "reduce" else "default", dynamic=False)
    rates = []
    for epoch in range(epochs + 1):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        run.one_epoch(tqdm(disable=True))
        torch.cuda.synchronize(device)
        if epoch == 0:
            first = time.perf_counter() - began
        else:
            rates.append(images / (time.perf_counter() - start))
    return first, rates


if __name__ == "__main__":
    main()
