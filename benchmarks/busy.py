"""How busy is the machine with other things? A speed measured on a busy machine means little."""

import os
import time

import psutil
import torch

from apdnn_lite.experiments import processor_name


class Busy:
    """Watches the machine inside a ``with`` block, and before it for a second.

    ``str()`` of it is the report. Shares are of all processors together, in percent; what this
    process and its children use is not counted.
    """

    def __init__(self, seconds=1.0):
        self.seconds = seconds

    def __enter__(self):
        self.load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        begun = used()
        time.sleep(self.seconds)
        self.before = others(begun, used())
        self.begun = used()
        return self

    def __exit__(self, *_):
        self.during = others(self.begun, used())

    def __str__(self):
        load = "" if self.load is None else f"load average {self.load:.1f}; "
        quiet = max(self.before, self.during) < 10
        return (f"{load}other processes took {self.before:.0f}% of the processors before and "
                f"{self.during:.0f}% during the measurement: "
                + ("the machine was quiet" if quiet else "NOT a quiet machine, measure again"))


def used():
    """Seconds of the clock, of all processors' work, and of this process's share of it."""
    times, own = psutil.cpu_times(), os.times()
    work = sum(times) - times.idle - getattr(times, "iowait", 0)
    work -= getattr(times, "guest", 0) + getattr(times, "guest_nice", 0)  # counted in user and nice
    return time.perf_counter(), work, sum(own[:4])  # user and system, ours and our children's


def others(begin, end):
    """What other processes took between two results of ``used``, in percent of all processors."""
    clock, work, own = (after - before for before, after in zip(begin, end, strict=True))
    return min(100.0, max(0.0, 100 * (work - own) / (clock * (psutil.cpu_count() or 1))))


def headline():
    """The processor, the threads and the version of torch, on a line."""
    return f"{processor_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
