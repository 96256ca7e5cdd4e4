"""What do several workers gain, and what does Table 1 cost with more seeds?

    python benchmarks/scaling.py [--workers 1 2] [--seeds 2] [--epochs 8] [--device cpu]
    python benchmarks/scaling.py --workers        # only the estimates, from records

Measured: cells of the small part of Fashion-MNIST (the simple CNN, plain and with each transform,
``--seeds`` times) by ``--workers`` processes of this machine, of one thread each, as ``apdnn
reproduce --workers`` runs them.

own       the sum of the cells' own times, as Dask notes them at the workers: loading, training
          and measuring
took      from the first cell handed out to the last record written
of ideal  own / (workers · took). We want 0.9. What is missing is time in which a worker waited.
start     seconds before that, until all processes had answered; once for any number of cells

Estimated: the training of Table 1, from the seconds of recorded runs alone, as

    max(seeds · Σ cost / slots, the longest cost), where cost = seconds · threads

over the cells of the table, each with the mean of its records. The JPEG copy stands in
for CIFAR-10. A slot is a core, or one of ``--side-by-side`` processes on a card: 12, because the
records of benchmarks/card were made so, and each tells how long it took among eleven others.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import distributed
import torch
from busy import Busy, headline

from apdnn_lite.experiments import SHIPPED, Archive, Name, cluster, tables
from apdnn_lite.experiments.reproduce import clock

CARD = Path(__file__).parent / "card"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--side-by-side", type=int, default=12)
    options = parser.parse_args()
    if options.workers:
        measure(options)
    estimate(options.side_by_side)


def measure(options):
    names = [Name("fashion_mnist", "mini", "simple_cnn", transform, seed)
             for seed in range(options.seeds) for transform in ("baseline", *tables.TRANSFORMS)]
    print(f"{headline()}\n{len(names)} cells ({len(names) // options.seeds} runs × {options.seeds} "
          f"seeds), {options.epochs} epochs each, on {options.device}\n"
          f"{'workers':>9}{'own':>9}{'took':>9}{'of ideal':>10}{'start':>9}")
    for workers in options.workers:
        with Busy() as busy:
            own, took, start = timed(workers, names, options)
        print(f"{workers:>9}{own:>7.1f} s{took:>7.1f} s{own / workers / took:>10.2f}"
              f"{start:>7.1f} s   {busy}", flush=True)


def timed(workers, names, options):
    """Seconds: the cells' own ones together, those of all of it, and those of the start."""
    torch.set_num_threads(workers)  # so that each process has one
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, cluster.connected(None, workers) as client:
        client.run(cluster.versions)
        start = time.perf_counter() - began
        with distributed.get_task_stream(client) as stream:
            began = time.perf_counter()
            made = cluster.make_missing(client.cluster.scheduler_address, None, "table1", names,
                                        folder, options.device, options.epochs,
                                        progress=lambda line: None)
            assert len(list(made)) == len(names)
            took = time.perf_counter() - began
    own = sum(each["stop"] - each["start"] for task in stream.data for each in task["startstops"]
              if each["action"] == "compute")
    return own, took, start


def estimate(side_by_side):
    processors = costs(SHIPPED, lambda device: device == "cpu")
    cards = costs(Archive(CARD), lambda device: device != "cpu")
    print(f"\nTraining Table 1 once costs, by the records, {describe(processors)}, and "
          f"{describe(cards)}.\nmax(seeds · Σ cost / slots, the longest cost), with 2 slots, "
          f"{side_by_side} and {8 * side_by_side}:\n"
          f"{'seeds':>9}{'2 cores':>12}{'1 card':>12}{'8 cards':>12}")
    for seeds in (3, 10):
        times = [max(seeds * sum(cells.values()) / slots, max(cells.values()))
                 for (cells, _), slots in ((processors, 2), (cards, side_by_side),
                                           (cards, 8 * side_by_side))]
        print(f"{seeds:>9}" + "".join(f"{clock(seconds):>12}" for seconds in times))


def costs(archive, of_the_kind):
    """({cell: its cost, the mean of its records}, devices), from the records of such devices."""
    cells, devices = {}, set()
    for name in tables.cells("table1"):
        jpeg = name._replace(dataset="cifar10_jpeg")
        found = [record["how"] for like in (name, jpeg) for record in archive.seeds(like)
                 if of_the_kind(record["how"]["device"])]
        if not found:
            raise SystemExit(f"{archive.folder} has no record of {name} on such a device")
        cells[name] = statistics.fmean(how["seconds"] * how["threads"] for how in found)
        devices |= {how["processor"] if how["device"] == "cpu" else how["device"] for how in found}
    return cells, devices


def describe(cost):
    """What one seed of all cells costs, where, and how long the longest takes."""
    cells, devices = cost
    return (f"{sum(cells.values()):,.0f} s in {len(cells)} cells, {max(cells.values()):,.0f} s the "
            f"longest ({', '.join(sorted(devices))})")


if __name__ == "__main__":
    main()
