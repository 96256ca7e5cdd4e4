"""How fast is training on a CUDA device? Images per second of ``ap.fit``, in several ways.

    python benchmarks/graphics_card.py [--cells fashion_mnist/resnet20/generator …]
                                       [--ways kernels graph …] [--epochs 3]

kernels   as PyTorch launches them, one by one
network   forward and backward pass of the network alone as CUDA graphs
          (``torch.cuda.make_graphed_callables``)
graph     the whole forward and backward pass as one CUDA graph: ``ap.fit(…, cuda_graph=True)``,
          as the named runs do it
compile   the network through ``torch.compile``
reduce    the same with mode="reduce-overhead", which makes CUDA graphs of what it compiled

Cells are those of Table 1, with their recipes; without --cells some of each kind. Images are random
numbers, 78 full batches an epoch. The first epoch is not counted: it holds what is set up once, and
is given as "first". Of the others the median is printed, with the lowest and highest beside it. An
image counts once, though the network sees it raw and processed. With --device cpu the ways without
CUDA graphs can be tried, and the script itself.
"""

import argparse
import copy
import statistics
import time

import torch
from tqdm import tqdm

import apdnn_lite as ap
from apdnn_lite._graph import attach_graph
from apdnn_lite._machine import pick_precision
from apdnn_lite.experiments import (
    build,
    device_name,
    image_shape,
    make_transform,
    recipe_of,
    tables,
)
from apdnn_lite.experiments.recipes import fit_settings
from apdnn_lite.training import Run, Settings

CELLS = (
    "fashion_mnist/resnet20/baseline",
    "fashion_mnist/resnet20/generator",
    "cifar10/resnet20/baseline",
    "cifar10/resnet20/generator",
    "fashion_mnist/simple_cnn/baseline",
    "fashion_mnist/simple_cnn/generator",
)
WAYS = ("kernels", "network", "graph", "compile", "reduce")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", nargs="+", default=CELLS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batches", type=int, default=78, help="of an epoch")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type != "cuda" and {"network", "graph"} & set(options.ways):
        parser.error("the ways network and graph need a CUDA device, and this one is "
                     f"{device.type}: name --ways without them")
    precision = pick_precision("auto", device)
    print(f"{device_name(device)}, torch {torch.__version__}, {precision}, {options.batches} "
          f"batches an epoch, median of {options.epochs} epochs (lowest to highest)\n"
          f"{'':36}{'way':10}{'images/s':>9}{'':21}{'ms a batch':>11}{'first':>9}")
    for only in options.cells:
        name, = tables.cells("table1", only)
        batch_size = recipe_of(name).batch_size
        for way in options.ways:
            first, seconds = measure(name, way, device, options.batches, options.epochs)
            rates = sorted(options.batches * batch_size / each for each in seconds)
            spread = f"({rates[0]:,.0f} to {rates[-1]:,.0f})"
            print(
                f"{only:36}{way:10}{statistics.median(rates):>9,.0f} {spread:20}"
                f"{1000 * statistics.median(seconds) / options.batches:>11.2f}{first:>7.1f} s",
                flush=True,
            )


def measure(name, way, device, batches, epochs):
    """Seconds of the first epoch with what is set up before it, and a list of the others."""
    recipe, shape = recipe_of(name), image_shape(name.dataset)
    torch.manual_seed(0)
    images = batches * recipe.batch_size
    train = ap.Split(torch.rand(images, *shape), torch.randint(10, (images,)), torch.arange(images))
    net, transform = (
        build(name.network, shape[0], 10, shape[1]),
        make_transform(name.transform, shape, recipe, seed=0),
    )
    began = time.perf_counter()
    settings = fit_settings(recipe, seed=0) | {"epochs": epochs + 1}
    loss = ap.AntiPiracyLoss(recipe.alpha, recipe.beta, recipe.gamma)
    run = Run(net, train, transform, loss, Settings(**settings), device)
    if way == "graph":
        attach_graph(run)
    elif way == "network":
        run.logits = graphs_of_the_network(run)
    elif way != "kernels":
        run.net = torch.compile(
            run.net, mode="reduce-overhead" if way == "reduce" else "default", dynamic=False
        )
    timed(run, device)
    first = time.perf_counter() - began
    return first, [timed(run, device) for _ in range(epochs)]


def timed(run, device):
    """Seconds of one epoch."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    began = time.perf_counter()
    run.one_epoch(tqdm(disable=True))
    wait()
    return time.perf_counter() - began


def graphs_of_the_network(run):
    """Like ``run.logits``, with the network's forward and backward pass as a CUDA graph each."""
    views = 1 if run.transform is None else 2  # of each image: raw, and processed
    example = torch.rand(views * run.settings.batch_size, *run.images.shape[1:], device=run.device)
    example = example.contiguous(memory_format=torch.channels_last)
    example.requires_grad_(run.transform is not None and bool(list(run.transform.parameters())))
    run.net.train()
    with torch.autocast("cuda", run.precision, cache_enabled=False):
        graphed = torch.cuda.make_graphed_callables(copy.copy(run.net), (example,))
    return lambda images: graphed(images.contiguous(memory_format=torch.channels_last)).float()


if __name__ == "__main__":
    main()
