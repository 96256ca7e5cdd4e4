"""What does guessing keys cost beyond the forward passes themselves?

    python benchmarks/attacks.py [--images 4000] [--draws 2] [--repeats 3]

forward     ResNet-20 on images that lie ready in batches of 100, channels-last, and nothing else.
input_only  ``ap.attacks.input_only`` on as many images: keys drawn, added, answers scored.

Both in seconds for each draw, by turns; medians with the lowest and highest beside them.
"""

import argparse
import statistics
import time

import torch
from busy import Busy, headline

import apdnn_lite as ap


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=4_000)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    net = ap.pretrained("fashion_mnist", "resnet20", "fixed").net
    images = ap.load("fashion_mnist").train.images[:options.images]
    batches = [batch.contiguous(memory_format=torch.channels_last) for batch in images.split(100)]

    @torch.no_grad()
    def forward():
        for _ in range(options.draws):
            for batch in batches:
                net(batch)

    ways = {
        "forward": forward,
        "input_only": lambda: ap.attacks.input_only(net, images, 0.1, 0.2, options.draws),
    }
    print(f"{headline()}\n{len(images):,} images, {options.draws} draws, "
          f"median of {options.repeats} (lowest to highest)")
    net(batches[0])
    seconds = {name: [] for name in ways}
    with Busy() as busy:
        for _ in range(options.repeats):
            for name, way in ways.items():
                began = time.perf_counter()
                way()
                seconds[name].append((time.perf_counter() - began) / options.draws)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(f"  {name:11} {middle[name]:.2f} s a draw ({min(values):.2f} to {max(values):.2f})")
    print(f"  input_only takes {middle['input_only'] / middle['forward']:.2f} times as long; "
          f"100 draws: {100 * middle['input_only']:.0f} s\n{busy}")


if __name__ == "__main__":
    main()
